import assert from 'node:assert/strict'
import { test } from 'node:test'
import { api } from '@nubo/contracts'
import { joinHost } from '../support/hosts.ts'
import { done, everywhere, importRootfs, setOf, waitSet } from '../support/project.ts'
import { refusal } from '../support/refusal.ts'
import { openShop } from '../support/shop.ts'
import { waitUntil } from '../support/wait.ts'

const SMALL_HOST = { cpuMillis: 1_000, memoryBytes: 2 ** 30, diskBytes: 2 ** 33 }

test('the life of a set, with calls on either server: created, shown, stopped, started, restarted, removed', async (t) => {
  const { region, shop } = await openShop(t)
  const [one, other] = region.servers.map((server) => region.client(shop.tokens.member, [server]))
  assert.ok(one !== undefined && other !== undefined)
  await joinHost(region, { name: 'host-1', server: 0 })
  await joinHost(region, { name: 'host-2', server: 1 })

  await t.test(
    'a created set runs, whichever server was asked and whichever has the host',
    async () => {
      const created = await Promise.all([
        one.setCreate({ body: setOf('web-1') }),
        other.setCreate({ body: setOf('web-2') }),
      ])
      for (const operation of created) {
        assert.equal(operation.kind, 'set.create')
        assert.equal(operation.endedAtMs, null)
      }
      // Each is waited for on the server that did not take it.
      const ended = await Promise.all([done(other, created[0]), done(one, created[1])])
      for (const operation of ended) assert.equal(operation.progress, 'running')
      const hosts = new Set<string>()
      for (const name of ['web-1', 'web-2']) {
        const set = await waitSet(other, name, ({ state }) => state === 'running')
        hosts.add(String(set.host))
      }
      assert.deepEqual([...hosts].toSorted(), ['host-1', 'host-2'], 'spread over the hosts')
    },
  )

  await t.test(
    'show and list tell what the issue asks for, and nothing beside the contract',
    async () => {
      const set = await waitSet(one, 'web-1', ({ state }) => state === 'running')
      assert.equal(set.name, 'web-1')
      assert.equal(set.reason, null)
      assert.equal(set.network, 'net')
      assert.match(set.address, /^10\.0\.1\.\d+$/)
      assert.equal(set.generation, 1)
      assert.equal(set.foundGeneration, 1)
      assert.equal(set.epoch, 1)
      const [port] = set.ports
      assert.equal(port?.address, set.address)
      assert.equal(port?.name, 'web-1-eth0')
      const [container] = set.containers
      assert.equal(container?.name, 'main')
      assert.equal(container?.state, 'running')
      assert.equal(container?.image, 'web')
      assert.equal(container?.restarts, 0)
      assert.deepEqual(
        set.placement?.rejected.map(({ host }) => host).filter((host) => host === set.host),
        [],
      )
      const list = await other.setList({ query: { minRevision: (await one.setList()).revision } })
      assert.deepEqual(list.items.map(({ name }) => name).toSorted(), ['web-1', 'web-2'])
      api.setShow.reply.parse(set)
    },
  )

  await t.test('a stopped set keeps host and address, and a started one is as before', async () => {
    const before = await one.setShow({ params: { id: 'web-1' } })
    await done(other, await one.setStop({ params: { id: 'web-1' } }))
    const stopped = await waitSet(one, 'web-1', ({ state }) => state === 'stopped')
    assert.equal(stopped.host, before.host)
    assert.equal(stopped.address, before.address)
    assert.equal(stopped.generation, 2)
    const started = await done(one, await other.setStart({ params: { id: 'web-1' } }))
    assert.equal(started.progress, 'running')
    const again = await waitSet(one, 'web-1', ({ state }) => state === 'running')
    assert.equal(again.host, before.host)
    assert.equal(again.address, before.address)
    assert.equal(again.epoch, before.epoch)
  })

  await t.test('a restart begins the containers anew', async () => {
    const before = await one.setShow({ params: { id: 'web-2' } })
    await done(one, await one.setRestart({ params: { id: 'web-2' } }))
    const after = await waitSet(
      one,
      'web-2',
      ({ state, containers }) =>
        state === 'running' &&
        (containers[0]?.startedAtMs ?? 0) > (before.containers[0]?.startedAtMs ?? 0),
    )
    assert.equal(after.address, before.address)
  })

  await t.test('a newer operation supersedes an open one', async () => {
    const stop = await one.setStop({ params: { id: 'web-2' } })
    const start = await one.setStart({ params: { id: 'web-2' } })
    await done(one, start)
    const ended = await one.waitOperation(stop.id)
    assert.match(ended.state, /^(superseded|done)$/)
    await waitSet(one, 'web-2', ({ state }) => state === 'running')
  })

  await t.test('a removed set is gone with its port, and its name is free', async () => {
    await done(other, await one.setRemove({ params: { id: 'web-1' } }))
    await everywhere(region)
    await refusal(one.setShow({ params: { id: 'web-1' } }), 'NOT_FOUND')
    await refusal(other.setShow({ params: { id: 'web-1' } }), 'NOT_FOUND')
    await refusal(other.portShow({ params: { id: 'web-1-eth0' } }), 'NOT_FOUND')
    await done(other, await other.setCreate({ body: setOf('web-1') }))
  })

  await t.test('several containers start in the order of their index', async () => {
    const container = (name: string, index: number) => ({ name, index, image: 'web' })
    await done(
      one,
      await one.setCreate({
        body: {
          name: 'trio',
          network: 'net',
          containers: [container('late', 2), container('early', 0), container('middle', 1)],
        },
      }),
    )
    const set = await waitSet(one, 'trio', ({ state }) => state === 'running')
    assert.deepEqual(
      set.containers.map(({ name }) => name),
      ['early', 'middle', 'late'],
    )
    const starts = set.containers.map(({ startedAtMs }) => startedAtMs ?? 0)
    assert.deepEqual(
      starts,
      starts.toSorted((a, b) => a - b),
    )
  })
})

test('what cannot be a set is refused with the field, and nothing of it is kept', async (t) => {
  const { region, shop } = await openShop(t)
  const { member } = shop
  const create = (change: Record<string, unknown>) =>
    // proof: the server is asked on purpose with what the types forbid
    member.setCreate({ body: { ...setOf('web'), ...change } as ReturnType<typeof setOf> })
  const before = await member.portList()

  const missing = await refusal(
    create({ containers: [{ name: 'main', image: 'absent' }] }),
    'NOT_FOUND',
  )
  assert.equal(missing.details['image'], 'absent')
  await refusal(create({ network: 'absent' }), 'NOT_FOUND')
  await refusal(create({ subnet: 'absent' }), 'NOT_FOUND')
  await refusal(create({ placement: { host: 'absent' } }), 'NOT_FOUND')
  await refusal(create({ port: 'absent' }), 'NOT_FOUND')
  for (const [change, field] of [
    [{ name: 'Web' }, 'name'],
    [{ name: '../web' }, 'name'],
    [{ containers: [] }, 'containers'],
    [{ cpuMillis: 1 }, 'cpuMillis'],
    [{ memoryBytes: 1.5 }, 'memoryBytes'],
    [{ containers: [{ name: 'main', image: 'web', cpuMillis: 900 }] }, 'containers.0.cpuMillis'],
    [{ containers: [{ name: 'main', image: 'web', env: { '1X': '' } }] }, 'containers.0.env.1X'],
    [{ address: '10.0.1.1' }, 'address'],
    [{ address: '10.9.1.9' }, 'address'],
    [{ wanted: 'running' }, 'wanted'],
    [
      {
        containers: [
          { name: 'main', image: 'web' },
          { name: 'main', image: 'web' },
        ],
      },
      'containers.1.name',
    ],
  ] as const) {
    const error = await refusal(create(change), 'INVALID_INPUT')
    assert.equal(error.details['field'], field, error.message)
  }
  assert.deepEqual((await member.setList()).items, [])
  assert.deepEqual((await member.portList()).items, before.items)
  assert.deepEqual((await member.operationList()).items, [])
  assert.equal(region.server(0).region.world.set.size, 0)
})

test('names: a port that somebody made is not the name of a set, and long names do not meet', async (t) => {
  const { shop } = await openShop(t)
  const { member } = shop
  await member.portCreate({ body: { name: 'web-eth0', network: 'net' } })
  const taken = await refusal(member.setCreate({ body: setOf('web') }), 'NAME_TAKEN')
  assert.equal(taken.details['kind'], 'port', 'the error names what is in the way')
  assert.equal(taken.details['name'], 'web-eth0')
  const stem = 'a'.repeat(62)
  await member.setCreate({ body: setOf(`${stem}1`) })
  await member.setCreate({ body: setOf(`${stem}2`) })
  await refusal(member.setCreate({ body: setOf(`${stem}2`) }), 'NAME_TAKEN')
})

test('placement: hosts asked for, cordoned, spread over racks; and why a set waits', async (t) => {
  const { region, shop } = await openShop(t)
  const { member } = shop
  await joinHost(region, { name: 'host-1', rack: 'rack-1', server: 0 })
  await joinHost(region, { name: 'host-2', rack: 'rack-1', server: 1, labels: { disk: 'fast' } })
  await joinHost(region, { name: 'host-3', rack: 'rack-2', capacity: SMALL_HOST })
  const run = async (name: string, placement: object) => {
    await done(member, await member.setCreate({ body: { ...setOf(name), placement } }))
    return member.setShow({ params: { id: name } })
  }

  assert.equal((await run('asked', { host: 'host-2' })).host, 'host-2')
  assert.equal((await run('labelled', { hostLabels: { disk: 'fast' } })).host, 'host-2')
  const racks = [await run('pair-1', { spread: 'rack' }), await run('pair-2', { spread: 'rack' })]
  assert.equal(racks.filter(({ host }) => host === 'host-3').length, 1)

  await region.operator.hostCordon({ params: { id: 'host-1' } })
  await region.operator.hostCordon({ params: { id: 'host-2' } })
  const operation = await member.setCreate({
    body: { ...setOf('big'), memoryBytes: 2 ** 31, cpuMillis: 100 },
  })
  const failed = await member.waitOperation(operation.id)
  assert.equal(failed.state, 'failed')
  assert.equal(failed.reason?.code, 'NOT_PLACED')
  const waiting = await waitSet(member, 'big', ({ placement }) => placement !== null)
  assert.equal(waiting.state, 'pending')
  assert.equal(waiting.reason?.code, 'NOT_PLACED')
  const reasons = new Map(waiting.placement?.rejected.map(({ host, reason }) => [host, reason]))
  assert.match(reasons.get('host-1') ?? '', /cordoned/)
  assert.match(reasons.get('host-2') ?? '', /cordoned/)
  assert.match(reasons.get('host-3') ?? '', /memory: 2048 MiB wanted/)

  // Asked again while it still cannot be placed: an answer, not silence until the deadline.
  const again = await member.waitOperation((await member.setRestart({ params: { id: 'big' } })).id)
  assert.equal(again.state, 'failed')
  assert.equal(again.reason?.code, 'NOT_PLACED')

  await region.operator.hostUncordon({ params: { id: 'host-1' } })
  const placed = await waitSet(member, 'big', ({ state }) => state === 'running')
  assert.equal(placed.host, 'host-1')
  assert.equal(placed.epoch, 1)
})

test('a set that waits for room runs when a host joins', async (t) => {
  const { region, shop } = await openShop(t)
  const { member } = shop
  const failed = await member.waitOperation((await member.setCreate({ body: setOf('web') })).id)
  assert.equal(failed.reason?.code, 'NOT_PLACED')
  assert.match(failed.reason?.text ?? '', /there are no hosts/)
  await joinHost(region, { name: 'host-1', server: 1 })
  await waitSet(member, 'web', ({ state }) => state === 'running')
})

test('operations: a bad command and an absent image fail with their reason; wait, list, cancel, deadline', async (t) => {
  const { region, shop } = await openShop(t)
  const { member, viewer } = shop
  const { simulated } = await joinHost(region, { name: 'host-1' })

  await t.test('a command that cannot be started', async () => {
    const created = await member.setCreate({ body: setOf('refused', ['refuse']) })
    const ended = await member.waitOperation(created.id)
    assert.equal(ended.state, 'failed')
    assert.equal(ended.reason?.code, 'CONTAINER_START_FAILED')
    const set = await waitSet(member, 'refused', ({ reason }) => reason !== null)
    assert.equal(set.reason?.code, 'CONTAINER_START_FAILED')
    assert.match(set.containers[0]?.state ?? '', /^(backoff|starting)$/)
    await done(member, await member.setRemove({ params: { id: 'refused' } }))
  })

  await t.test('a program that keeps ending', async () => {
    const created = await member.setCreate({ body: setOf('looping', ['exit', '3']) })
    const ended = await member.waitOperation(created.id)
    assert.equal(ended.state, 'failed')
    assert.equal(ended.reason?.code, 'CONTAINER_EXITED')
    const set = await waitSet(member, 'looping', ({ containers }) => containers[0]?.exitCode === 3)
    assert.ok((set.containers[0]?.restarts ?? 0) >= 1)
    await done(member, await member.setRemove({ params: { id: 'looping' } }))
  })

  await t.test('an image that the host cannot have', async () => {
    const image = await importRootfs(member, 'lost', 'lost')
    simulated.setHost.absentImages.add(image.digest)
    const created = await member.setCreate({
      body: { ...setOf('imageless'), containers: [{ name: 'main', image: 'lost' }] },
    })
    const ended = await member.waitOperation(created.id)
    assert.equal(ended.state, 'failed')
    assert.equal(ended.reason?.code, 'IMAGE_PULL_FAILED')
    simulated.setHost.absentImages.clear()
    await waitSet(member, 'imageless', ({ state }) => state === 'running')
  })

  await t.test(
    'a long poll answers at the end, on the other server too; a short one in time',
    async () => {
      simulated.setHost.takeDown()
      const created = await member.setCreate({ body: setOf('slow') })
      const short = await region
        .via(1)
        .operationShow({ params: { id: created.id }, query: { project: 'shop', waitMs: 50 } })
      assert.equal(short.endedAtMs, null)
      const waiting = region.servers.map((_server, index) =>
        region.via(index).operationShow({
          params: { id: created.id },
          query: { project: 'shop', waitMs: 14_000 },
        }),
      )
      simulated.setHost.bringUp()
      for (const ended of await Promise.all(waiting)) assert.equal(ended.state, 'done')
      const listed = await viewer.operationList({ query: { state: 'done' } })
      assert.ok(listed.items.some(({ id }) => id === created.id))
      const ids = listed.items.map(({ id }) => id)
      assert.deepEqual(ids, ids.toSorted().toReversed(), 'newest first')
    },
  )

  await t.test(
    'a create may be cancelled, a removal not; an ended one stays as it is',
    async () => {
      simulated.setHost.takeDown()
      const created = await member.setCreate({ body: setOf('given-up') })
      const cancelled = await member.operationCancel({ params: { id: created.id } })
      assert.equal(cancelled.state, 'cancelled')
      const remove = await member.setRemove({ params: { id: 'given-up' } })
      if (remove.endedAtMs === null)
        await refusal(member.operationCancel({ params: { id: remove.id } }), 'NOT_ALLOWED_NOW')
      simulated.setHost.bringUp()
      await done(member, remove)
      const still = await member.operationCancel({ params: { id: created.id } })
      assert.equal(still.state, 'cancelled')
      assert.equal(still.endedAtMs, cancelled.endedAtMs)
      await refusal(viewer.operationCancel({ params: { id: created.id } }), 'FORBIDDEN')
    },
  )

  await t.test(
    'an operation whose host says nothing ends at its deadline, and says why',
    async () => {
      simulated.setHost.takeDown()
      const created = await member.setCreate({ body: setOf('late') })
      await waitSet(member, 'late', ({ host }) => host === 'host-1')
      region.clock.moveMs(121_000)
      const ended = await member.waitOperation(created.id)
      assert.equal(ended.state, 'failed')
      assert.equal(ended.reason?.code, 'DEADLINE_EXCEEDED')
      simulated.setHost.bringUp()
      await waitUntil(
        () => member.setShow({ params: { id: 'late' } }),
        ({ state }) => state === 'running',
      )
    },
  )
})

test('what runs in a set can be reached: exec and logs through a server that does not have the host', async (t) => {
  const { region, shop } = await openShop(t)
  await joinHost(region, { name: 'host-1', server: 1 })
  const member = region.client(shop.tokens.member, [region.server(0)])
  await done(member, await member.setCreate({ body: setOf('talk', ['print', 'hello']) }))

  const exec = await member.openStream(
    await member.setExec({ params: { id: 'talk' }, body: { command: ['fail', '7', 'no', 'way'] } }),
  )
  let text = ''
  for await (const chunk of exec.output) text += Buffer.from(chunk.bytes).toString()
  assert.equal(text, 'no way\n')
  assert.equal((await exec.ended).exitCode, 7)

  const viewer = region.client(shop.tokens.viewer, [region.server(0)])
  const logs = await viewer.openStream(await viewer.setLogs({ params: { id: 'talk' }, body: {} }))
  let printed = ''
  for await (const chunk of logs.output) printed += Buffer.from(chunk.bytes).toString()
  assert.match(printed, /hello/)
  await refusal(
    viewer.setExec({ params: { id: 'talk' }, body: { command: ['true'] } }),
    'FORBIDDEN',
  )
  await refusal(
    member.setExec({ params: { id: 'talk' }, body: { command: ['true'], container: 'none' } }),
    'NOT_FOUND',
  )
})
