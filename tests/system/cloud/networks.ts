import assert from 'node:assert/strict'
import { before, after, describe, it } from 'node:test'
import type { SetView } from '@nubo/contracts'
import { run } from '@nubo/runtime'
import type { Tenant } from '../../support/tenant.ts'
import type { TestCloud } from '../../support/test-cloud.ts'

const cidr = '10.0.0.0/16'
const subnets = { front: '10.0.1.0/24', back: '10.0.2.0/24' }

/** A web server whose page is its own name. */
const serving = (name: string): string[] => {
  const page = `mkdir -p /tmp/w && echo "page of ${name}" >/tmp/w/index.html`
  return ['sh', '-c', `${page} && exec httpd -f -p 80 -h /tmp/w`]
}

/** How many echo requests have come to a set since it was made. */
async function echoesAt(cloud: TestCloud, set: SetView): Promise<number> {
  const { stdout } = await run({ argv: ['cat', '/proc/net/snmp'], netns: await cloud.netnsOf(set) })
  const [names, values] = stdout
    .split('\n')
    .filter((line) => line.startsWith('Icmp: '))
    .map((line) => line.split(' '))
  return Number(values?.[names?.indexOf('InEchos') ?? -1])
}

export function networks(cloudOf: () => TestCloud): void {
  describe('two networks with the same ranges on three hosts', () => {
    let cloud: TestCloud
    let tenant: Tenant
    /**
     *           h1           h2                  h3
     * one       web1 .11     web2 .12  deep .2.5 web3 .13
     * other     web1 .11     web2 .22
     */
    before(async () => {
      cloud = cloudOf()
      tenant = await cloud.tenant('nets')
      const place = (network: string, at: { host: string; address: string; subnet?: string }) => {
        const name = `${network}-${at.address.split('.').slice(2).join('-')}`
        return tenant.run({ name, network, subnet: 'front', ...at, command: serving(name) })
      }
      for (const name of ['one', 'other']) await tenant.network(name, cidr, subnets)
      await Promise.all([
        place('one', { host: 'h1', address: '10.0.1.11' }),
        place('one', { host: 'h2', address: '10.0.1.12' }),
        place('one', { host: 'h3', address: '10.0.1.13' }),
        place('one', { host: 'h2', address: '10.0.2.5', subnet: 'back' }),
        place('other', { host: 'h1', address: '10.0.1.11' }),
        place('other', { host: 'h2', address: '10.0.1.22' }),
      ])
    })
    after(() => tenant.clear())

    it('sets of one network reach each other on all hosts and between subnets, by ping and by HTTP', async () => {
      const pairs = [
        ['one-1-11', '10.0.1.12', 'one-1-12'],
        ['one-1-12', '10.0.1.13', 'one-1-13'],
        ['one-1-13', '10.0.1.11', 'one-1-11'],
        ['one-1-11', '10.0.2.5', 'one-2-5'],
        ['one-2-5', '10.0.1.12', 'one-1-12'],
        ['one-2-5', '10.0.1.13', 'one-1-13'],
        ['other-1-22', '10.0.1.11', 'other-1-11'],
        ['other-1-11', '10.0.1.22', 'other-1-22'],
      ] as const
      await Promise.all(
        pairs.map(async ([from, address, name]) => {
          assert.ok(await tenant.reaches(from, address), `${from} reaches ${address}`)
          const answer = await tenant.fetch(from, address)
          assert.match(answer, new RegExp(`^HTTP/1\\.[01] 200 OK[^]*page of ${name}\n`), from)
        }),
      )
    })

    it('the gateway of each subnet answers', async () => {
      for (const [set, gateway] of [
        ['one-1-11', '10.0.1.1'],
        ['one-1-11', '10.0.2.1'],
        ['one-2-5', '10.0.2.1'],
        ['other-1-22', '10.0.1.1'],
      ] as const)
        assert.ok(await tenant.reaches(set, gateway), `${set} reaches ${gateway}`)
    })

    it('the networks do not reach each other, although nothing but the network tells them apart', async () => {
      const reached = await Promise.all([
        tenant.reaches('one-1-11', '10.0.1.22'),
        tenant.reaches('one-1-13', '10.0.1.22'),
        tenant.reaches('other-1-11', '10.0.1.12'),
        tenant.reaches('other-1-22', '10.0.1.13'),
        tenant.reaches('other-1-22', '10.0.2.5'),
      ])
      assert.deepEqual(reached, [false, false, false, false, false])
    })

    it('what a set sends under the address or the MAC of another is dropped', async () => {
      const [from, to] = await Promise.all([tenant.show('one-1-11'), tenant.show('one-1-12')])
      const netns = await cloud.netnsOf(from)
      const inside = (...argv: [string, ...string[]]) => run({ argv, netns })
      const ping = (...options: string[]) =>
        inside('ping', '-q', '-c', '5', '-i', '0.05', '-W', '1', ...options, to.address).then(
          () => true,
          () => false,
        )
      assert.ok(await ping(), 'it reaches the other as itself')
      const echoes = await echoesAt(cloud, to)
      for (const address of ['10.0.1.13', '10.0.1.99', '192.0.2.1']) {
        await inside('ip', 'address', 'add', `${address}/32`, 'dev', 'eth0')
        assert.equal(await ping('-I', address), false, address)
        await inside('ip', 'address', 'del', `${address}/32`, 'dev', 'eth0')
      }
      const mac = from.ports[0]?.mac ?? ''
      await inside('ip', 'link', 'set', 'eth0', 'address', '0a:00:00:00:00:99')
      assert.equal(await ping(), false, 'another MAC')
      await inside('ip', 'link', 'set', 'eth0', 'address', mac)
      assert.equal(await echoesAt(cloud, to), echoes, 'nothing of it came through')
    })
  })
}
