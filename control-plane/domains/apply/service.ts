import {
  newId,
  PlatformError,
  type Clock,
  type ManifestId,
  type ProjectId,
  type Random,
} from '@nubo/base'
import type { ApplyStep, Plan } from '@nubo/contracts'
import type { Database } from '@nubo/runtime'
import type {
  CatchUp,
  ManifestRow,
  OperationRow,
  Recorder,
  Tables,
  Touched,
  Tx,
  World,
} from '../../world/index.ts'
import type { ComputeService, ImageResolver } from '../compute/index.ts'
import { maySee, projectOf, type Caller } from '../identity/index.ts'
import {
  endOperation,
  insertOperation,
  newOperation,
  supersedeOperations,
} from '../operations/index.ts'
import { digestOf, makePlan, type MadePlan, type PlanAsked } from './plan.ts'
import { APPLY, skippedSteps } from './steps.ts'
import { findMoved, hasMovedSince, insertApply, lockManifest, readSteps } from './store.ts'

export interface ApplyDeps {
  readonly world: World
  readonly recorder: Recorder
  readonly database: Database<Tables>
  readonly clock: Clock
  readonly random: Random
  readonly compute: ComputeService
  readonly images: ImageResolver
  readonly catchUp: CatchUp
}

export type ApplyService = ReturnType<typeof createApplyService>

/** Sets have two minutes each and start side by side; a chain of them takes its time. */
const DEADLINE_MS = 600_000
const DEADLINE_PER_STEP_MS = 1_000
const PROBLEMS_TOLD_MAX = 20
/** An apply that takes the place of one under way is planned again, if that one did something since its plan. */
const PLANS_MAX = 5

export function createApplyService(deps: ApplyDeps) {
  const { world, recorder } = deps

  /** From everything that is recorded by now, whichever server it was told to. */
  async function planNow(caller: Caller, asked: PlanAsked): Promise<MadePlan> {
    const project = projectOf(caller)
    await deps.catchUp(world.revision)
    return makePlan({ world, sets: deps.compute, images: deps.images }, project, asked)
  }

  return {
    plan: async (caller: Caller, asked: PlanAsked): Promise<Plan> =>
      (await planNow(caller, asked)).view,

    /**
     * Records what is to be done; the leader does it. A newer apply of the same manifest takes the place of one that is
     * under way. CHANGED_MEANWHILE, and nothing is recorded, if anything that the plan of `check` touched has moved; the
     * code of the first problem if the plan has any.
     */
    apply: async (
      caller: Caller,
      asked: PlanAsked & { readonly check?: string | undefined },
    ): Promise<OperationRow> => {
      for (let attempt = 1; attempt <= PLANS_MAX; attempt++) {
        const { draft, view } = await planNow(caller, asked)
        refuseMoved(view, asked.check)
        refuseProblems(view)
        refuseMissingUploads(world, projectOf(caller), asked)
        const manifest: ManifestRow = {
          id: newId(deps.clock, deps.random),
          projectId: projectOf(caller),
          name: view.manifest,
          createdAtMs: deps.clock.nowMs(),
        }
        const operation = draftOperation(deps, manifest, draft.steps.length)
        const { revision } = view
        const isAdmitted = await recorder.write((tx, touched) =>
          admit(deps, { tx, touched, caller, draft, revision, manifest, operation }),
        )
        if (isAdmitted) return world.operation.get(operation.id) ?? operation
      }
      throw movedSince(undefined)
    },

    show: async (
      caller: Caller,
      id: string,
    ): Promise<{
      id: string
      manifest: string
      state: OperationRow['state']
      steps: ApplyStep[]
    }> => {
      const row = world.operation.get(id)
      if (row === undefined || row.kind !== APPLY || !maySee(caller, row))
        throw new PlatformError(
          'NOT_FOUND',
          { kind: 'apply', apply: id },
          { message: `There is no apply ${id} here.` },
        )
      const steps = await readSteps(deps.database, row.id)
      const skipped = skippedSteps(steps)
      const isOver = row.endedAtMs !== null
      return {
        id: row.id,
        manifest: row.resourceName,
        state: row.state,
        steps: steps.map(({ action, kind, name, reason, ...step }) => ({
          action,
          kind,
          name,
          reason,
          state:
            step.state === 'pending' && (isOver || skipped.has(step.number))
              ? 'skipped'
              : step.state,
        })),
      }
    },
  }
}

function draftOperation(
  deps: { clock: Clock; random: Random },
  manifest: ManifestRow,
  steps: number,
): OperationRow {
  const operation = newOperation(
    {
      projectId: manifest.projectId,
      kind: APPLY,
      resource: { kind: 'manifest', id: manifest.id, name: manifest.name },
      generation: 0,
      progress: `0 of ${steps} done`,
      mayCancel: true,
    },
    deps,
  )
  const deadlineAtMs = operation.createdAtMs + DEADLINE_MS + steps * DEADLINE_PER_STEP_MS
  return { ...operation, deadlineAtMs }
}

/** False if it has only ended the applies under way, because they did something that its plan does not know. */
async function admit(
  deps: ApplyDeps,
  admission: {
    tx: Tx
    touched: Touched
    caller: Caller
    draft: MadePlan['draft']
    /** That of the plan. */
    revision: number
    manifest: ManifestRow
    operation: OperationRow
  },
): Promise<boolean> {
  const { tx, touched, caller, draft, manifest } = admission
  const atMs = deps.clock.nowMs()
  const manifestId: ManifestId = await lockManifest(tx, touched, manifest)
  // From here on none of their steps comes into force any more.
  const superseded = { resourceId: manifestId, by: 'a newer apply', atMs }
  if ((await supersedeOperations(tx, touched, superseded)) > 0) {
    if (await hasMovedSince(tx, manifestId, admission.revision)) return false
  }
  const moved = await findMoved(tx, draft.seenSets)
  if (moved !== undefined) throw movedSince(deps.world.set.get(moved.id)?.name)
  const operation = { ...admission.operation, resourceId: manifestId }
  await insertOperation(tx, touched, operation)
  const { tokenId, tokenName, accountId, role } = caller
  const apply = { operationId: operation.id, manifestId, tokenId, tokenName, accountId, role }
  await insertApply(tx, apply, draft.steps)
  if (draft.steps.length > 0) return true
  const end = { id: operation.id, state: 'done', reason: null, atMs } as const
  await endOperation(tx, touched, { ...end, progress: 'nothing to change' })
  return true
}

function refuseMoved(view: Plan, check: string | undefined): void {
  if (check !== undefined && digestOf(check) !== digestOf(view.check)) throw movedSince(undefined)
}

function movedSince(set: string | undefined): PlatformError {
  const what = set === undefined ? 'Something that the plan touches' : `Set ${set}`
  return new PlatformError(
    'CHANGED_MEANWHILE',
    { ...(set === undefined ? {} : { set }), next: 'plan again and look at what is different' },
    { message: `${what} has changed since the plan; nothing was applied.` },
  )
}

function refuseProblems({ problems }: Plan): void {
  const [first] = problems
  if (first === undefined) return
  const more = problems.length === 1 ? '' : ` (and ${problems.length - 1} more problems)`
  throw new PlatformError(
    // proof: problems carry codes of the catalogue, see DraftPlan
    first.code as PlatformError['code'],
    {
      field: first.field,
      [first.kind]: first.name,
      problems: problems.slice(0, PROBLEMS_TOLD_MAX),
      next: first.next,
    },
    { message: `${first.kind} ${first.name}: ${first.text}${more}` },
  )
}

/** In a plan an image may be still to come; to start a set it must be there. */
function refuseMissingUploads(world: World, project: ProjectId, { manifest }: PlanAsked): void {
  const absent = manifest.images.find(
    ({ name }) => world.image.by('name', `${project}/${name}`).length === 0,
  )
  if (absent === undefined) return
  throw new PlatformError(
    'NOT_FOUND',
    { kind: 'image', image: absent.name, next: `nubo image import ${absent.name} FILE` },
    { message: `Image ${absent.name} was to be uploaded and is not there.` },
  )
}
