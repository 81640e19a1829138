/** Questions about placement: where a set would go, and why nowhere else. */
import type { Command } from 'commander'
import type { CallRequest, Client } from '@nubo/client'
import type { PlacementAnswer } from '@nubo/contracts'
import type { CommandContext } from '../context.ts'
import { exitCode, UsageError } from '../errors.ts'
import { renderTable } from '../output/table.ts'
import { readSet } from './set-apply.ts'

export function definePlace(place: Command, context: CommandContext): void {
  place
    .description('where a set would be placed now, and why nowhere else; changes nothing')
    .requiredOption('-f, --file <file>', "JSON or YAML of the set; '-' reads the input")
    .option('--dry-run', 'only ask; must be given, since nothing else can be done here')
    .action(async ({ file, dryRun }: { file: string; dryRun?: true }) => {
      if (dryRun !== true)
        throw new UsageError(
          'place only asks where a set would go.',
          `nubo place --dry-run -f ${file}; to create it: nubo set apply -f ${file}`,
        )
      await askPlacement(context, await readSet(context, file))
    })
}

/** Asks where a set would go, and prints the answer. Ends with exit code 3 if no host can take it. */
export async function askPlacement(
  context: CommandContext,
  body: CallRequest<'placeDryRun'>['body'],
): Promise<void> {
  const client: Client = await context.connect()
  const answer = await allHosts((cursor) =>
    client.placeDryRun({ query: { ...context.inProject, cursor }, body }),
  )
  await printAnswer(context, answer, { name: body.name, verb: 'would be placed' })
  if (answer.host === null) context.exitCode = exitCode.notPlaced
}

/** What every host says now to a set that exists. */
export async function explainSet(context: CommandContext, id: string): Promise<void> {
  const client = await context.connect()
  const answer = await allHosts((cursor) =>
    client.setPlacement({ params: { id }, query: { ...context.inProject, cursor } }),
  )
  await printAnswer(context, answer, { name: id, verb: 'would now be placed' })
}

/** All pages as one answer. */
async function allHosts(
  ask: (cursor: string | undefined) => Promise<PlacementAnswer>,
): Promise<PlacementAnswer> {
  const first = await ask(undefined)
  const items = [...first.items]
  for (let { cursor } = first; cursor !== null;) {
    const next = await ask(cursor)
    items.push(...next.items)
    cursor = next.cursor
  }
  return { ...first, items, cursor: null }
}

function printAnswer(
  context: CommandContext,
  answer: PlacementAnswer,
  { name, verb }: { name: string; verb: string },
): Promise<void> {
  return context.printOne(answer, answer.host ?? '', ({ host, score, reason, items }) => {
    const head =
      host === null
        ? `set ${name} could not be placed: ${reason?.text ?? ''}`
        : `set ${name} ${verb} on ${host} (score ${score})`
    const sorted = items.toSorted(
      (a, b) => (b.score ?? -Infinity) - (a.score ?? -Infinity) || (a.host < b.host ? -1 : 1),
    )
    const table = renderTable(
      sorted,
      [
        { header: 'HOST', value: (one) => one.host },
        { header: 'ZONE', value: (one) => one.zone },
        { header: 'RACK', value: (one) => one.rack },
        { header: 'SCORE', value: (one) => one.score, align: 'right' },
        { header: 'WHY NOT', value: (one) => one.reason },
      ],
      context.tableWidth,
    )
    return items.length === 0 ? `${head}\n` : `${head}\n\n${table}`
  })
}
