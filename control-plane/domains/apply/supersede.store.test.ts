// Proves in PostgreSQL that an apply which takes the place of one under way finds all that the other did, and that nothing
// is added to it later: a step counts only while its apply is open, and what it makes belongs to the manifest at once.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { newId, type OperationId, type ProjectId } from '@nubo/base'
import type { Manifest } from '@nubo/contracts'
import { openDatabase, silentLog, systemClock, systemRandom } from '@nubo/runtime'
import { openTestDatabase } from '../../../tests/support/database.ts'
import {
  createRecorder,
  FeedReader,
  whileActing,
  World,
  type ManifestRow,
  type OperationRow,
  type Recorder,
  type Tables,
} from '../../world/index.ts'
import { supersedeOperations } from '../operations/index.ts'
import { createApplyService, type ApplyDeps } from './service.ts'
import { readSteps } from './store.ts'

const fresh = <Kind extends string>() => newId<Kind>(systemClock, systemRandom)

const caller = (project: ProjectId) => ({
  tokenId: fresh<'token'>(),
  tokenName: 'ci',
  accountId: null,
  role: 'member' as const,
  project,
})

const networks = (...names: readonly string[]): Manifest => ({
  name: 'shop',
  networks: names.map((name) => ({ name, cidr: '10.0.0.0/16' })),
  subnets: [],
  ports: [],
  images: [],
  sets: [],
})

async function openRegion(context: TestContext) {
  const { url } = await openTestDatabase<Tables>(context)
  const database = openDatabase<Tables>({ url, clock: systemClock, log: silentLog })
  const world = new World(systemClock)
  const feed = new FeedReader({ database, clock: systemClock, log: silentLog, world })
  await feed.start()
  context.after(async () => {
    await feed.stop()
    await database.close()
  })
  const recorder = createRecorder({ database, clock: systemClock, world, feed })
  const project: ProjectId = fresh()
  await recorder.write(async (tx, touched) => {
    const id = fresh<'account'>()
    await tx.insertInto('account').values({ id, name: 'a', createdAtMs: 1 }).execute()
    const row = { id: project, accountId: id, name: 'p', createdAtMs: 1 }
    await tx.insertInto('project').values(row).execute()
    touched.touch('project', project)
  })
  return { database, world, recorder, project }
}
type Region = Awaited<ReturnType<typeof openRegion>>

/** An apply service of which each write waits for `before` first. */
function serviceOf(region: Region, before: () => Promise<unknown> = async () => undefined) {
  const write: Recorder['write'] = async (work) => {
    await before()
    return region.recorder.write(work)
  }
  const deps = {
    ...region,
    recorder: { write },
    clock: systemClock,
    random: systemRandom,
    catchUp: () => Promise.resolve(),
    compute: { previewPlacement: () => [] },
  }
  // proof: of manifests without sets and images nothing else is asked of the services for those
  return createApplyService(deps as unknown as ApplyDeps)
}

/** What the step of an apply does that makes a network. */
function makeNetwork(
  region: Region,
  of: { operationId: OperationId; manifestId: ManifestRow['id'] },
  name: string,
) {
  const { recorder, project } = region
  const act = {
    by: 'call' as const,
    actor: 'ci',
    tokenId: null,
    accountId: null,
    projectId: project,
    requestId: of.operationId,
    call: 'applyCreate',
    resourceKind: 'network',
    resource: name,
    step: { ...of, owns: 'network' as const },
  }
  const id = fresh<'network'>()
  const vni = region.world.network.size + 5
  const row = {
    id,
    projectId: project,
    name,
    cidr: '10.0.0.0/16',
    mtuBytes: 1_500,
    vni,
    createdAtMs: 1,
  }
  return whileActing(act, () =>
    recorder.write(async (tx, touched) => {
      await tx.insertInto('network').values(row).execute()
      touched.touch('network', id)
    }),
  )
}

const ownerOf = ({ world, project }: Region, name: string) =>
  world.applied.get(world.network.by('name', `${project}/${name}`)[0]?.id ?? '')?.manifestId

function partOf(operation: OperationRow) {
  // proof: an apply is an operation on its manifest
  return { operationId: operation.id, manifestId: operation.resourceId as ManifestRow['id'] }
}

const asked = { prune: true, recreate: false }

test('what a step makes belongs to the manifest at once; after the end of its apply it makes nothing', async (context) => {
  const region = await openRegion(context)
  const service = serviceOf(region)
  const { project, recorder, world } = region
  const first = await service.apply(caller(project), { manifest: networks('a', 'b'), ...asked })
  const part = partOf(first)
  await makeNetwork(region, part, 'a')
  assert.equal(ownerOf(region, 'a'), part.manifestId)

  await recorder.write((tx, touched) =>
    supersedeOperations(tx, touched, { resourceId: part.manifestId, by: 'a newer apply', atMs: 9 }),
  )
  await assert.rejects(makeNetwork(region, part, 'b'), { code: 'CHANGED_MEANWHILE' })
  assert.deepEqual(
    [...world.network.values()].map(({ name }) => name),
    ['a'],
  )
})

test('an apply that takes the place of another is planned again if that one did something since its plan', async (context) => {
  const region = await openRegion(context)
  const { project, world, database } = region
  const first = await serviceOf(region).apply(caller(project), {
    manifest: networks('a', 'b'),
    ...asked,
  })
  let writes = 0
  const slow = serviceOf(region, async () => {
    if (writes++ === 0) await makeNetwork(region, partOf(first), 'a')
  })
  const second = await slow.apply(caller(project), { manifest: networks(), ...asked })
  assert.equal(world.operation.get(first.id)?.state, 'superseded')
  const steps = await readSteps(database, second.id)
  assert.deepEqual(
    steps.map(({ action, name }) => `${action} ${name}`),
    ['remove a'],
    'its first plan had nothing to do',
  )
  assert.equal(writes, 2)
})

test('one that takes the place of another which did nothing since needs no second plan', async (context) => {
  const region = await openRegion(context)
  const { project, world } = region
  const first = await serviceOf(region).apply(caller(project), {
    manifest: networks('a'),
    ...asked,
  })
  await makeNetwork(region, partOf(first), 'a')
  let writes = 0
  const service = serviceOf(region, () => Promise.resolve(writes++))
  const second = await service.apply(caller(project), { manifest: networks('a'), ...asked })
  assert.equal(world.operation.get(first.id)?.state, 'superseded')
  assert.equal(second.progress, 'nothing to change')
  assert.equal(writes, 1)
})
