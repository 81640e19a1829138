// Proves that what callers ask of sets at the same time is recorded together, each as its own: its answer, its audit, its quota.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { isPlatformError, newId, type ProjectId } from '@nubo/base'
import { systemClock, systemRandom, violatedConstraint } from '@nubo/runtime'
import { networkId, networkRow, subnetRow } from '../../host-sessions/testing/rows.ts'
import { openQuotaStage } from '../../testing/quota-stage.ts'
import { whileActing, type CallAct, type InstanceRow, type SetRow } from '../../world/index.ts'
import { insertNetwork, insertSubnet } from '../network/store.ts'
import { newOperation } from '../operations/index.ts'
import { createInstanceWriter, type WantedWrite, type Creation } from './wanted-writes.ts'

const deps = { clock: systemClock, random: systemRandom }

async function openStage(context: TestContext) {
  const stage = await openQuotaStage(context)
  const { world, recorder } = await stage.start()
  const project = await stage.addProject('shop')
  await recorder.write(async (tx, touched) => {
    await insertNetwork(tx, touched, networkRow(1, { projectId: project }))
    await insertSubnet(tx, touched, subnetRow(1, { projectId: project }))
  })
  const newSet = (name?: string): SetRow => {
    const row = { ...stage.newSet(project), containers: [] }
    return name === undefined ? row : { ...row, name }
  }
  return {
    stage,
    world,
    project,
    newSet,
    write: createInstanceWriter({ recorder, clock: systemClock }),
  }
}

/** Each call has an actor of its own. */
const by = (actor: string, set: SetRow, verb: string): CallAct => ({
  by: 'call',
  actor,
  tokenId: null,
  accountId: null,
  projectId: set.projectId,
  requestId: actor,
  call: `set${verb}`,
  resourceKind: 'set',
  resource: set.name,
})

const operationOf = (set: InstanceRow, verb: string): Creation['operation'] =>
  newOperation(
    {
      projectId: set.projectId,
      kind: `set.${verb}`,
      resource: { kind: 'set', id: set.id, name: set.name },
      generation: 1,
      progress: '',
      mayCancel: false,
    },
    deps,
  )

function creation(row: SetRow, address?: string): Creation {
  const port = {
    id: newId<'port'>(systemClock, systemRandom),
    projectId: row.projectId,
    networkId: networkId(1),
    subnetId: subnetRow(1).id,
    name: `${row.name}-${row.id.slice(-6)}`,
    mac: `0a:${row.id.slice(-10).match(/../g)?.join(':') ?? ''}`,
    setId: row.id,
    vmId: null,
    hostId: null,
    interfaceName: null,
    ownedBySet: true,
    createdAtMs: 1,
  }
  const operation = operationOf(row, 'create')
  return { kind: 'create', row, operation, port: { port, address } }
}

const change = (set: SetRow, verb: 'start' | 'stop' | 'remove'): WantedWrite => ({
  kind: 'change',
  instance: set,
  wanted: { start: 'running', stop: 'stopped', remove: 'removed' }[verb] as SetRow['wanted'],
  restart: false,
  operation: operationOf(set, verb),
})

test('calls that come together share a revision; each has its address and is audited as its own', async (t) => {
  const { stage, world, newSet, write } = await openStage(t)
  const sets = [newSet(), newSet(), newSet(), newSet()]
  const before = world.revision
  await Promise.all(
    sets.map((row) =>
      whileActing(by(`for ${row.name}`, row, 'Create'), () => write(creation(row))),
    ),
  )
  assert.equal(world.revision, before + 2)
  const addresses = [...world.port.values()].map(({ address }) => address)
  assert.equal(new Set(addresses).size, sets.length)
  const audit = await stage.database.query.selectFrom('audit').selectAll().execute()
  assert.deepEqual(
    new Set(audit.map(({ actor, call, resourceId }) => `${actor} ${call} ${resourceId}`)),
    new Set(sets.map((row) => `for ${row.name} setCreate ${row.id}`)),
  )
  assert.equal(new Set(audit.map(({ afterSha256 }) => afterSha256)).size, sets.length)
})

test('a call that is refused fails alone', async (t) => {
  const { world, newSet, write } = await openStage(t)
  const rows = [newSet(), newSet('twice'), newSet(), newSet('twice'), newSet(), newSet()]
  const outcomes = await Promise.allSettled(
    rows.map((row, at) => write(creation(row, at === 4 ? '192.0.2.1' : undefined))),
  )
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'rejected', 'fulfilled'],
  )
  const [, , , named, addressed] = outcomes.map((one) =>
    one.status === 'rejected' ? one.reason : undefined,
  )
  assert.match(violatedConstraint(named) ?? '', /^set_.*name/)
  assert.ok(isPlatformError(addressed, 'INVALID_INPUT'))
  assert.deepEqual([world.set.size, world.port.size, world.operation.size], [4, 4, 4])
})

test('a quota that ends within a batch is used to its end', async (t) => {
  const { stage, world, project, newSet, write } = await openStage(t)
  await stage.limit(project, { instances: 7 })
  const outcomes = await Promise.allSettled(
    Array.from({ length: 16 }, () => write(creation(newSet()))),
  )
  const refused = outcomes.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []))
  assert.equal(refused.length, 9)
  assert.ok(refused.every((error) => isPlatformError(error, 'QUOTA_EXCEEDED')))
  assert.equal(world.set.size, 7)
  assert.equal(await usedInstances(stage, project), 7)
})

test('changes of one set are recorded one after the other, those of others beside them', async (t) => {
  const { stage, world, project, newSet, write } = await openStage(t)
  const [set, other] = [newSet(), newSet()]
  await Promise.all([set, other].map((row) => write(creation(row))))
  const calls = [
    change(set, 'stop'),
    change(set, 'start'),
    change(other, 'remove'),
    change(set, 'stop'),
  ]
  await Promise.all(
    calls.map((call, at) => whileActing(by(`call ${at}`, set, call.kind), () => write(call))),
  )
  const row = world.set.get(set.id)
  assert.deepEqual([row?.wanted, row?.generation], ['stopped', 4])
  assert.deepEqual(
    calls.map(({ operation }) => world.operation.get(operation.id)?.state),
    ['done', 'superseded', 'done', 'done'],
  )
  assert.deepEqual([world.set.get(other.id), world.port.size], [undefined, 1])
  assert.equal(await usedInstances(stage, project), 1)
  const audit = await stage.database.query
    .selectFrom('audit')
    .select(['actor', 'beforeSha256', 'afterSha256'])
    .where('resourceId', '=', set.id)
    .execute()
  const [first, second, third] = ['call 0', 'call 1', 'call 3'].map((actor) =>
    audit.find((one) => one.actor === actor),
  )
  assert.equal(second?.beforeSha256, first?.afterSha256)
  assert.equal(third?.beforeSha256, second?.afterSha256)
  await assert.rejects(write(change(other, 'start')), (error) =>
    isPlatformError(error, 'NOT_ALLOWED_NOW'),
  )
})

async function usedInstances(
  stage: Awaited<ReturnType<typeof openQuotaStage>>,
  project: ProjectId,
): Promise<number> {
  return (await stage.used(project)).instances
}
