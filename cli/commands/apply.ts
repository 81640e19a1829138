import type { Command } from 'commander'
import { formatDurationMs } from '@nubo/base'
import type { Client } from '@nubo/client'
import type { ApplyStep, Operation } from '@nubo/contracts'
import type { CommandContext } from '../context.ts'
import { CreateUnknownError, OperationFailedError } from '../errors.ts'
import { followOperation } from '../follow.ts'
import { uploadMissing } from '../manifest/images.ts'
import { readManifest } from '../manifest/manifest.ts'
import { planText } from '../output/plan.ts'
import { plainText } from '../output/values.ts'
import { printOperation } from './operation.ts'
import { noWait } from './options.ts'
import {
  manifestOptions,
  planOf,
  tellProblems,
  type ManifestOptions,
  type PlannedManifest,
} from './plan.ts'

interface ApplyOptions extends ManifestOptions {
  /** Absent where it is not said: defaults of a noun without verbs are set too late to count. */
  wait?: boolean
}

export function defineApply(apply: Command, context: CommandContext): void {
  manifestOptions(apply)
    .description('make a project as a manifest describes it; shows the plan and carries it out')
    .option(...noWait)
    .action((options: ApplyOptions) => applyManifest(context, options))
}

async function applyManifest(context: CommandContext, options: ApplyOptions): Promise<void> {
  const { clock, stdout } = context.surroundings
  const startedMs = clock.monotonicMs()
  const read = await readManifest(options.file, context.surroundings.stdin)
  const client = await context.connect()
  const planned = await planOf(context, client, { read, options })
  if (context.format === 'table') context.write(planText(planned.made, stdout))
  if (planned.made.problems.length > 0) {
    if (context.format === 'json')
      await context.printOne(planned.made, planned.made.manifest, () => '')
    tellProblems(context, planned.made, read)
    return
  }
  if (planned.made.changes.length === 0 && context.format === 'table') return
  await uploadMissing(context, client, { parts: planned.body.images ?? [], files: read.files })
  const operation = await begin(context, client, { planned, options })
  if (options.wait === false) return printOperation(context, operation)
  const ended = await follow(context, client, operation)
  const took = formatDurationMs(clock.monotonicMs() - startedMs)
  await context.printOne(
    ended,
    ended.id,
    () => `manifest ${ended.resource.name} applied: ${ended.progress} (${took})\n`,
  )
}

async function begin(
  context: CommandContext,
  client: Client,
  { planned, options }: { planned: PlannedManifest; options: ManifestOptions },
): Promise<Operation> {
  const { OutcomeUnknownError } = await import('@nubo/client')
  const { prune, recreate } = options
  const { check } = planned.made
  try {
    return await client.applyCreate({
      query: context.inProject,
      body: { manifest: planned.body, prune, recreate, check },
    })
  } catch (error) {
    if (!(error instanceof OutcomeUnknownError)) throw error
    const next = 'run the same command again: what is done already stays'
    throw new CreateUnknownError(error.message, next, error)
  }
}

/** A failure is told step by step before its error. */
async function follow(
  context: CommandContext,
  client: Client,
  operation: Operation,
): Promise<Operation> {
  try {
    return await followOperation(context, client, operation)
  } catch (error) {
    if (error instanceof OperationFailedError && context.format === 'table') {
      const query = context.inProject
      const shown = await client
        .applyShow({ params: { id: operation.id }, query })
        .catch(() => undefined)
      for (const step of shown?.steps ?? [])
        if (step.state !== 'done') context.remark(stepText(step))
    }
    throw error
  }
}

const words = {
  pending: 'not tried',
  skipped: 'not tried',
  running: 'still under way',
  done: 'done',
  failed: 'failed',
} as const satisfies Record<ApplyStep['state'], string>

function stepText({ action, kind, name, state, reason }: ApplyStep): string {
  const why = reason === null ? '' : `: ${reason.text} (${reason.code})`
  return plainText(`  ${words[state]}: ${action} ${kind} ${name}${why}`)
}
