// Proves that a region goes from the previous release to this one under load, server by server: old servers with new agents,
// both side by side on one database that the new one has migrated, new servers with old agents, and then an agent on the state
// that an old one has left.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Client } from '@nubo/client'
import { quotaMismatches } from '@nubo/control-plane'
import { waitUntil } from '../support/wait.ts'
import { Load } from './load.ts'
import { MixedRegion, type MixedHost } from './mixed-region.ts'

const WORKERS = 3
const CHANGES_BETWEEN = 10

test('a region is upgraded from the previous release under load: servers one after the other, agents of both releases on both; no call fails, no write is lost, the end is exact', async (t) => {
  const region = await MixedRegion.open(t)
  await region.prepare('previous')
  const servers = [await region.startServer('previous', 0), await region.startServer('previous', 1)]
  const urls = servers.map(({ url }) => url)
  const operator = region.clientOf(urls, region.operatorToken)
  const older = await region.joinHost('previous', operator)
  const hosts = [older, await region.joinHost('present', operator)]
  const { token, member } = await makeShop(region, { urls, operator })
  const load = new Load({ servers: urls, token, workers: WORKERS })
  t.after(() => load.close())
  await load.moreChanges(CHANGES_BETWEEN)
  await everyHostWorks(member, hosts)

  await region.prepare('present')
  await load.moreChanges(CHANGES_BETWEEN)
  for (const index of servers.keys()) {
    await servers[index]?.kill()
    servers[index] = await region.startServer('present', index)
    await load.moreChanges(CHANGES_BETWEEN)
    await everyHostWorks(member, hosts)
  }
  // Last the agents: what the older one has written to disk is what this one begins with.
  hosts[0] = await region.upgradeHost(older)
  await load.moreChanges(CHANGES_BETWEEN)
  await everyHostWorks(member, hosts)
  await load.stop()
  t.diagnostic(`${load.acknowledged} changes acknowledged, ${load.unknown} outcomes unknown`)
  await load.assertExact(
    member,
    hosts.map(({ name, status }) => ({ name, setIds: async () => (await status()).sets })),
  )
  assert.deepEqual(await quotaMismatches(region.database), [])
})

/** A project with the network `net` and the image `web`, as `Load` needs them. */
async function makeShop(
  region: MixedRegion,
  { urls, operator }: { urls: readonly string[]; operator: Client },
): Promise<{ token: string; member: Client }> {
  const { id } = await operator.projectCreate({ body: { name: 'shop' } })
  const body = { name: 'shop', role: 'member', project: 'shop' } as const
  const { secret: token } = await operator.tokenCreate({ body })
  const member = region.clientOf(urls, token)
  await member.networkCreate({ body: { name: 'net', cidr: '10.0.0.0/16' } })
  await member.subnetCreate({ body: { network: 'net', name: 'net', cidr: '10.0.1.0/24' } })
  await region.recordImage(id, 'web')
  return { token, member }
}

/** Each host runs something by now, and a program can be run there, whatever server it is connected to. */
async function everyHostWorks(client: Client, hosts: readonly MixedHost[]): Promise<void> {
  for (const { name, status } of hosts) {
    const said = await waitUntil(
      async () => {
        try {
          return await execOn(client, name)
        } catch (error) {
          // The load may remove the set meanwhile.
          return String(error)
        }
      },
      (text) => text === `hello ${name}\n`,
      { what: `a program runs on ${name}` },
    )
    assert.equal(said, `hello ${name}\n`)
    assert.notEqual((await status()).server, null)
  }
}

async function execOn(client: Client, host: string): Promise<string> {
  const sets = await client.listAll('setList')
  const set = sets.find((one) => one.host === host && one.state === 'running')
  if (set === undefined) return 'no set runs there'
  const ticket = await client.setExec({
    params: { id: set.id },
    body: { command: ['echo', 'hello', host], stdin: false },
  })
  const stream = await client.openStream(ticket)
  let text = ''
  for await (const { bytes } of stream.output) text += Buffer.from(bytes).toString()
  await stream.ended
  return text
}
