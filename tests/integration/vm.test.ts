// Proves what a customer sees of VMs that no host runs yet: they wait and say why, they hold their address, image and
// quota, they can be changed and removed, and what cannot be is refused before anything is recorded.
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { joinHost } from '../support/hosts.ts'
import { done, everywhere, makeProject } from '../support/project.ts'
import { runProgram } from '../support/program.ts'
import { refusal } from '../support/refusal.ts'
import { openShop } from '../support/shop.ts'
import { recordKernelImage } from '../support/vm-image.ts'
import { waitUntil } from '../support/wait.ts'

const MEBI = 2 ** 20
const vm = { params: { id: 'one' } }
const asked = { name: 'one', network: 'net', image: 'kernel', memoryBytes: 256 * MEBI }

async function openVmShop(t: Parameters<typeof openShop>[0]) {
  const { region, shop } = await openShop(t)
  await joinHost(region, { name: 'host-1' })
  await recordKernelImage(region, shop, 'kernel')
  await everywhere(region)
  return { region, shop, member: shop.member }
}

test('a VM waits for a host that runs VMs, and says so', async (t) => {
  const { region, shop, member } = await openVmShop(t)
  const operation = await member.vmCreate({ body: asked })
  assert.deepEqual([operation.kind, operation.resource.name], ['vm.create', 'one'])
  const view = await waitUntil(
    () => member.vmShow(vm),
    ({ reason }) => reason?.text.includes('no VMs') === true,
    { what: 'the reason why it waits' },
  )
  assert.equal(view.state, 'pending')
  assert.deepEqual(
    [view.host, view.cpus, view.memoryBytes, view.image, view.network],
    [null, 1, 256 * MEBI, 'kernel', 'net'],
  )
  await everywhere(region)
  for (const server of region.servers) {
    const client = region.client(shop.tokens.viewer, [server])
    assert.deepEqual(
      (await client.vmList()).items.map(({ name, state }) => [name, state]),
      [['one', 'pending']],
    )
  }
  // A set of the same name is another thing, and the set list knows nothing of VMs.
  assert.deepEqual((await member.setList()).items, [])
  const other = await makeProject(region, 'other')
  await refusal(other.member.vmShow(vm), 'NOT_FOUND')
  await refusal(shop.viewer.vmRemove(vm), 'FORBIDDEN')
})

test('it keeps its address, its image and its network until it is removed; then all of them are free', async (t) => {
  const { region, member } = await openVmShop(t)
  await member.vmCreate({ body: { ...asked, address: '10.0.1.77' } })
  await everywhere(region)
  const [port] = (await member.portList({ query: {} })).items
  assert.deepEqual(
    [port?.name, port?.address, port?.binding?.kind],
    ['one-eth0', '10.0.1.77', 'vm'],
  )
  await refusal(member.portRemove({ params: { id: 'one-eth0' } }), 'IN_USE')
  await refusal(member.networkRemove({ params: { id: 'net' } }), 'IN_USE')
  await refusal(member.imageRemove({ params: { id: 'kernel' } }), 'IN_USE')
  await refusal(member.vmCreate({ body: asked }), 'NAME_TAKEN')

  await done(member, await member.vmRemove(vm))
  await everywhere(region)
  await refusal(member.vmShow(vm), 'NOT_FOUND')
  assert.deepEqual((await member.portList({ query: {} })).items, [])
  await member.imageRemove({ params: { id: 'kernel' } })
})

test('what a VM takes counts for the quota of its project, and is given back', async (t) => {
  const { region, shop, member } = await openVmShop(t)
  await region.operator.quotaSet({ query: { project: 'shop' }, body: { instances: 1 } })
  await member.vmCreate({ body: asked })
  await refusal(member.vmCreate({ body: { ...asked, name: 'two' } }), 'QUOTA_EXCEEDED')
  await done(member, await member.vmRemove(vm))
  await member.vmCreate({ body: { ...asked, name: 'two' } })
  const { resources } = await shop.owner.quotaShow({ query: {} })
  assert.equal(resources.instances.used, 1)
})

test('what cannot be is refused with the field', async (t) => {
  const { member } = await openVmShop(t)
  const refused = async (body: object): Promise<string> =>
    String(
      (await refusal(member.vmCreate({ body: { ...asked, ...body } }), 'INVALID_INPUT')).details[
        'field'
      ],
    )
  assert.equal(await refused({ image: 'web' }), 'image')
  assert.match(await refused({ memoryBytes: 100 * MEBI + 1 }), /memoryBytes/)
  assert.match(await refused({ memoryBytes: MEBI }), /memoryBytes/)
  assert.match(await refused({ cpus: 65 }), /cpus/)
  await refusal(member.vmCreate({ body: { ...asked, image: 'none' } }), 'NOT_FOUND')
  assert.deepEqual((await member.vmList()).items, [])
})

test('at a terminal', async (t) => {
  const { region, shop } = await openVmShop(t)
  const home = join(region.folder, 'home')
  mkdirSync(home)
  const nubo = async (line: string) => {
    const [server] = region.servers
    assert.ok(server)
    const env = { NUBO_SERVERS: server.url, NUBO_TOKEN: shop.tokens.member }
    const { code, stdout, stderr } = await runProgram(home, ['vm', ...line.split(' ')], env)
    return { code, stdout, stderr }
  }
  assert.match((await nubo('ls')).stderr, /no VM yet.*nubo vm create/)
  const wrong = await nubo('create one --image web --network net')
  assert.match(wrong.stderr, /holds containers.*next +see the kinds of images: nubo image ls/s)
  assert.equal(wrong.code, 2)
  const flags = '--cpu 2 --memory 256MiB --stop-timeout 5s --label tier=front'
  const made = await nubo(`create one --image kernel --network net ${flags} --no-wait`)
  assert.equal(made.code, 0, made.stderr)
  const listed = await nubo('ls')
  assert.match(listed.stdout, /^NAME +STATE +HOST +ADDRESS .*CPU +MEMORY +ACCELERATOR/m)
  assert.match(listed.stdout, /^one +pending +.*kernel +2 +256 MiB/m)
  const shown = await nubo('show one')
  assert.match(shown.stdout, /^one {2}pending since/)
  assert.match(shown.stdout, /processors +2\n.*memory +256 MiB\n/)
  assert.match(shown.stdout, /labels +tier=front/)
  assert.deepEqual(await nubo('rm one'), { code: 0, stdout: 'VM one removed\n', stderr: '' })
  assert.equal((await nubo('show one')).code, 1)
})
