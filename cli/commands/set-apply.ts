import type { Command } from 'commander'
import { isApiError, type Client } from '@nubo/client'
import type { Operation, SetView } from '@nubo/contracts'
import type { CommandContext } from '../context.ts'
import { UsageError } from '../errors.ts'
import { followOperation } from '../follow.ts'
import {
  parseDocuments,
  problemsOf,
  refuse,
  withoutUnits,
  type Problem,
} from '../manifest/documents.ts'
import { readTexts } from '../manifest/read-text.ts'
import { printOperation } from './operation.ts'
import { noWait } from './options.ts'
import { createSet, type SetBody } from './set-run.ts'

const NEXT = 'every field is in the reference of the API: POST /v1/sets'

export function defineSetApply(set: Command, context: CommandContext): void {
  set
    .command('apply')
    .description('create a set as a file describes it, or change it in place')
    .requiredOption('-f, --file <file>', "JSON or YAML of the set; '-' reads the input")
    .option(...noWait)
    .action(async ({ file, wait }: { file: string; wait: boolean }) => {
      const body = await readSet(context, file)
      const client = await context.connect()
      const now = await findSet(context, client, body.name)
      if (now === undefined) await createSet(context, body, wait)
      else await updateSet(context, client, { now, body, wait })
    })
}

/** What a file says of a set; a usage error says what of it is wrong. */
export async function readSet({ surroundings }: CommandContext, file: string): Promise<SetBody> {
  const texts = await readTexts(file, surroundings.stdin)
  const documents = (await Promise.all(texts.map(parseDocuments))).flat()
  const [document, more] = documents
  if (document === undefined || more !== undefined)
    throw new UsageError(
      `${file} must describe one set; it has ${documents.length} documents.`,
      'describe several in a manifest: nubo apply --help',
    )
  const { setCreate } = await import('@nubo/contracts')
  const problems: Problem[] = []
  const value = withoutUnits(document.value, [], problems)
  if (problems.length > 0) refuse(document, problems, NEXT)
  const checked = setCreate.safeParse(value)
  if (!checked.success) refuse(document, problemsOf(checked.error.issues), NEXT)
  // proof: what the schema accepts is its input; sent as written, so that the server fills in its own defaults
  return value as SetBody
}

async function findSet(
  context: CommandContext,
  client: Client,
  name: string,
): Promise<SetView | undefined> {
  try {
    return await client.setShow({ params: { id: name }, query: context.inProject })
  } catch (error) {
    if (isApiError(error, 'NOT_FOUND')) return undefined
    throw error
  }
}

async function updateSet(
  context: CommandContext,
  client: Client,
  update: { now: SetView; body: SetBody; wait: boolean },
): Promise<void> {
  const { now, body } = update
  const query = context.inProject
  const operation: Operation = await client.setUpdate(
    { params: { id: now.id }, query, body },
    { ifMatch: now.generation },
  )
  if (!update.wait) return printOperation(context, operation)
  await followOperation(context, client, operation)
  const changed = await client.setShow({ params: { id: now.id }, query })
  const what =
    changed.generation === now.generation ? 'is as described; nothing changed' : 'is changed'
  await context.printOne(
    changed,
    changed.name,
    () =>
      `set ${changed.name} ${what}: ${changed.state} on ${changed.host ?? '?'} at ${changed.address}\n`,
  )
}
