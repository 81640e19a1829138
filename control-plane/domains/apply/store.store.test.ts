// Proves in PostgreSQL that a manifest is one however many name it at once, that a step which has ended stays as it
// ended, whose things are, and that traces of what is gone are swept and no others.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { newId, type ManifestId, type OperationId, type ProjectId } from '@nubo/base'
import { openDatabase, silentLog, systemClock, systemRandom } from '@nubo/runtime'
import { openTestDatabase } from '../../../tests/support/database.ts'
import {
  commit,
  createRecorder,
  FeedReader,
  World,
  type Recorder,
  type Tables,
} from '../../world/index.ts'
import { insertOperation, newOperation } from '../operations/index.ts'
import {
  findMoved,
  insertApply,
  lockManifest,
  readBodies,
  readSteps,
  recordSteps,
  sweepTraces,
  type StepChange,
} from './store.ts'
import {
  STEPS_AT_ONCE_MAX,
  StepSlots,
  StepWork,
  type StepWorkDeps,
} from './reconcilers/step-work.ts'
import type { PlannedStep } from './steps.ts'
import { waitUntil } from '../../../tests/support/wait.ts'

const fresh = <Kind extends string>() => newId<Kind>(systemClock, systemRandom)

async function openProject(context: TestContext) {
  const { url, database } = await openTestDatabase<Tables>(context)
  const accountId = fresh<'account'>()
  const project: ProjectId = fresh()
  await commit({ database, clock: systemClock }, async (tx, touched) => {
    await tx.insertInto('account').values({ id: accountId, name: 'a', createdAtMs: 1 }).execute()
    await tx
      .insertInto('project')
      .values({ id: project, accountId, name: 'p', createdAtMs: 1 })
      .execute()
    touched.touch('project', project)
  })
  const own = openDatabase<Tables>({ url, clock: systemClock, log: silentLog })
  const world = new World(systemClock)
  const feed = new FeedReader({ database: own, clock: systemClock, log: silentLog, world })
  await feed.start()
  context.after(async () => {
    await feed.stop()
    await own.close()
  })
  const recorder = createRecorder({ database: own, clock: systemClock, world, feed })
  return { database, world, recorder, project }
}

const manifestOf = (projectId: ProjectId) => ({
  id: fresh<'manifest'>(),
  projectId,
  name: 'shop',
  createdAtMs: 1,
})

const step = { action: 'create', kind: 'network', isPrune: false } as const
const twoSteps: readonly PlannedStep[] = [
  { ...step, name: 'one', needs: [], body: { asked: 1 } },
  { ...step, name: 'two', needs: [0], body: { asked: 2 } },
]

async function openApply(recorder: Recorder, project: ProjectId, steps = twoSteps) {
  const operation = newOperation(
    {
      projectId: project,
      kind: 'apply',
      resource: { kind: 'manifest', id: fresh(), name: 'shop' },
      generation: 0,
      progress: '',
      mayCancel: true,
    },
    { clock: systemClock, random: systemRandom },
  )
  return recorder.write(async (tx, touched) => {
    const manifestId = await lockManifest(tx, touched, manifestOf(project))
    await insertOperation(tx, touched, operation)
    const apply = {
      operationId: operation.id,
      manifestId,
      tokenId: fresh<'token'>(),
      tokenName: 'ci',
      accountId: null,
      role: 'member' as const,
    }
    await insertApply(tx, apply, steps)
    return apply
  })
}

const change = (more: Partial<StepChange>): StepChange => ({
  number: 0,
  state: 'done',
  reason: null,
  waitsFor: null,
  begunAtMs: 5,
  owns: null,
  disowns: null,
  ...more,
})

test('many that name a manifest at once get the same one', async (context) => {
  const { recorder, project, world } = await openProject(context)
  const ids = await Promise.all(
    Array.from({ length: 12 }, () =>
      recorder.write((tx, touched) => lockManifest(tx, touched, manifestOf(project))),
    ),
  )
  assert.equal(new Set(ids).size, 1)
  assert.equal(world.manifest.get(ids[0])?.name, 'shop')
})

test('steps are read in order with what they ask for; one that has ended stays as it ended', async (context) => {
  const { recorder, project, database } = await openProject(context)
  const apply = await openApply(recorder, project)
  const record = (one: StepChange): Promise<void> =>
    recorder.write((tx, touched) =>
      recordSteps(tx, touched, { apply, projectId: project, changes: [one] }),
    )
  const reason = { code: 'IN_USE', text: 'it is in use' }
  await record(change({ number: 1, state: 'failed', reason }))
  await record(change({ number: 1, state: 'done' }))
  await record(change({ number: 0, state: 'running', waitsFor: fresh<'operation'>() }))
  const steps = await readSteps(database, apply.operationId)
  assert.deepEqual(
    steps.map(({ number, name, state, needs }) => [number, name, state, needs]),
    [
      [0, 'one', 'running', []],
      [1, 'two', 'failed', [0]],
    ],
  )
  assert.deepEqual(steps[1]?.reason, reason)
  const bodies = await readBodies(database, apply.operationId, [1])
  assert.deepEqual([...bodies], [[1, { asked: 2 }]])
  assert.deepEqual(await readSteps(database, fresh<'operation'>() satisfies OperationId), [])
})

test('a thing belongs to who applied it last; what is gone is forgotten, and a manifest with it once nothing asks for it', async (context) => {
  const { recorder, project, world } = await openProject(context)
  const apply = await openApply(recorder, project)
  const networkId = fresh<'network'>()
  await recorder.write(async (tx, touched) => {
    await tx
      .insertInto('network')
      .values({
        id: networkId,
        projectId: project,
        name: 'net',
        cidr: '10.0.0.0/16',
        vni: 5,
        mtuBytes: 1_500,
        createdAtMs: 1,
      })
      .execute()
    touched.touch('network', networkId)
    for (const id of [networkId, fresh<'network'>()])
      await recordSteps(tx, touched, {
        apply,
        projectId: project,
        changes: [change({ owns: { id, kind: 'network' } })],
      })
  })
  const sweep = (): Promise<void> =>
    recorder.write((tx, touched) => sweepTraces(tx, touched, world))
  const ownerOf = (id: string): ManifestId | undefined => world.applied.get(id)?.manifestId
  assert.equal(world.applied.size, 2)
  await sweep()
  assert.deepEqual([world.applied.size, ownerOf(networkId)], [1, apply.manifestId])
  await recorder.write((tx, touched) =>
    recordSteps(tx, touched, {
      apply,
      projectId: project,
      changes: [change({ number: 1, disowns: networkId })],
    }),
  )
  await sweep()
  assert.equal(world.manifest.size, 1, 'its operation is still remembered')
  await recorder.write(async (tx, touched) => {
    await tx.deleteFrom('operation').where('id', '=', apply.operationId).execute()
    touched.touch('operation', apply.operationId)
  })
  await sweep()
  assert.deepEqual([world.manifest.size, world.applied.size], [0, 0])
})

test('a set that is gone or at another generation has moved', async (context) => {
  const { recorder } = await openProject(context)
  const seen = { id: fresh<'set'>(), generation: 1 }
  assert.deepEqual(await recorder.write((tx) => findMoved(tx, [seen])), seen)
  assert.equal(await recorder.write((tx) => findMoved(tx, [])), undefined)
})

test('steps go side by side, so many at most; one that breaks takes nothing from the others', async (context) => {
  const { recorder, project, database, world } = await openProject(context)
  const names = Array.from({ length: 40 }, (_, at) => `net-${at}`)
  const apply = await openApply(
    recorder,
    project,
    names.map((name) => ({
      ...step,
      name,
      needs: [],
      body: { asked: { name, cidr: '10.0.0.0/16' } },
    })),
  )
  const gates = new Map<string, () => void>()
  let most = 0
  const network = {
    createNetwork: async (_caller: unknown, { name }: { name: string }) => {
      most = Math.max(most, gates.size + 1)
      await new Promise<void>((resolve) => gates.set(name, resolve))
      gates.delete(name)
      if (name === 'net-3') throw new Error('broken')
      return { id: fresh<'network'>() }
    },
  }
  // proof: nothing else is asked of the services by steps that create networks
  const deps = { world, network, database, clock: systemClock } as unknown as StepWorkDeps
  const operation = world.operation.get(apply.operationId)
  assert.ok(operation !== undefined)
  const slots = new StepSlots(STEPS_AT_ONCE_MAX)
  const work = new StepWork(deps, { operation, apply, slots })
  const steps = await readSteps(database, apply.operationId)
  const first = work.go(steps)
  await waitUntil(
    () => gates.size,
    (count) => count === STEPS_AT_ONCE_MAX,
  )
  for (const open of [...gates.values()].slice(0, 9)) open()
  const changes = [...(await first)]
  assert.ok(changes.length >= 8, 'they come together')
  assert.ok(gates.size > 0, 'while others go on')
  const rest = (async () => {
    for (let more = await work.go(steps); more.length > 0; more = await work.go(steps))
      changes.push(...more)
  })()
  const opener = setInterval(() => gates.forEach((open) => open()), 1)
  await rest
  clearInterval(opener)
  assert.throws(() => work.throwIfFailed(), /broken/)
  assert.equal(most, STEPS_AT_ONCE_MAX)
  const numbers = changes.map(({ number }) => number)
  assert.equal(new Set(numbers).size, numbers.length, 'none is done twice')
  assert.ok(!numbers.includes(3))
  assert.ok(changes.every(({ state, owns }) => state === 'done' && owns !== null))
})
