import type { Command } from 'commander'
import type { Client } from '@nubo/client'
import type { Plan } from '@nubo/contracts'
import type { CommandContext } from '../context.ts'
import { exitCode } from '../errors.ts'
import { imageParts } from '../manifest/images.ts'
import { readManifest, type ManifestBody, type ReadManifest } from '../manifest/manifest.ts'
import { planText, problemsText } from '../output/plan.ts'

export interface ManifestOptions {
  file: string[]
  prune?: true
  recreate?: true
}

/** What both `plan` and `apply` take. */
export function manifestOptions(command: Command): Command {
  return command
    .requiredOption(
      '-f, --file <file>',
      "YAML or JSON, a folder of such files, or '-' for the input; may be repeated",
      (path: string, before: string[] | undefined) => [...(before ?? []), path],
    )
    .option('--prune', 'also remove what the manifest applied before and names no longer')
    .option('--recreate', 'remove and create things where a field cannot be changed in place')
}

export function definePlan(plan: Command, context: CommandContext): void {
  manifestOptions(plan)
    .description('see what applying a manifest would change, field by field; changes nothing')
    .action(async (options: ManifestOptions) => {
      const read = await readManifest(options.file, context.surroundings.stdin)
      const { made } = await planOf(context, await context.connect(), { read, options })
      const text = (): string => planText(made, context.surroundings.stdout)
      await context.printOne(made, made.manifest, text)
      if (made.problems.length > 0) tellProblems(context, made, read)
    })
}

export interface PlannedManifest {
  readonly made: Plan
  readonly body: ManifestBody
}

export async function planOf(
  context: CommandContext,
  client: Client,
  { read, options }: { read: ReadManifest; options: ManifestOptions },
): Promise<PlannedManifest> {
  const body = { ...read.body, images: await imageParts(context, client, read) }
  const { prune, recreate } = options
  const made = await client.planCreate({
    query: context.inProject,
    body: { manifest: body, prune, recreate },
  })
  return { made, body }
}

/** Why it cannot be applied; the program fails. */
export function tellProblems(
  context: CommandContext,
  { problems }: Plan,
  read: ReadManifest,
): void {
  const { stderr: stream } = context.surroundings
  context.exitCode = exitCode.failed
  if (context.format === 'json') return
  const placeOf = ({ kind, name }: Plan['problems'][number]): string | undefined =>
    read.placeOf(kind, name)
  stream.write(`It cannot be applied:\n${problemsText(problems, { stream, placeOf })}`)
}
