import { Argument, type Command } from 'commander'
import type { WatchEvent, WatchKind } from '@nubo/contracts'
import type { CommandContext } from '../context.ts'
import { renderDocument } from '../output/json.ts'
import { plainText } from '../output/values.ts'
import { wholeNumber } from './options.ts'

const kinds = [
  'project',
  'token',
  'host',
  'network',
  'subnet',
  'port',
  'image',
  'set',
  'operation',
  'brake',
] as const satisfies readonly WatchKind[]

interface WatchOptions {
  id?: string
  from?: number
}

export function defineWatch(watch: Command, context: CommandContext): void {
  watch
    .description('see what there is and each change of it, until interrupted')
    .addArgument(new Argument('[kind]', 'only things of this kind').choices(kinds))
    .option('--id <name>', 'only this thing, by name or id')
    .option(
      '--from <revision>',
      'go on after this revision instead of listing what there is',
      wholeNumber,
    )
    .action(async (kind: WatchKind | undefined, { id, from }: WatchOptions) => {
      const client = await context.connect()
      const names = new Map<string, string>()
      for await (const event of client.watch({ ...context.inProject, kind, id, from })) {
        await printEvent(context, event, names)
      }
    })
}

/** A line of JSON for each event, so that a pipe can be read line by line. */
async function printEvent(
  context: CommandContext,
  event: WatchEvent,
  names: Map<string, string>,
): Promise<void> {
  switch (context.format) {
    case 'json':
      return context.write(`${JSON.stringify(event)}\n`)
    case 'yaml':
      return context.write(`---\n${await renderDocument(event, 'yaml')}`)
    case 'name':
      return event.id === null ? undefined : context.write(`${event.id}\n`)
    case 'table':
      return context.write(`${lineOf(event, names)}\n`)
  }
}

/** `names` remembers what things are called, for when they are gone. */
function lineOf(
  { type, revision, kind, id, object }: WatchEvent,
  names: Map<string, string>,
): string {
  if (type === 'synced') return `${revision}  ── all that there is; changes follow ──`
  const key = id ?? ''
  const name = textField(object, 'name') ?? nameOfResource(object) ?? names.get(key) ?? key
  if (type === 'removed') names.delete(key)
  else names.set(key, name)
  const facts = [
    textField(object, 'kind'),
    textField(object, 'state'),
    textField(object, 'host') === undefined ? undefined : `on ${textField(object, 'host')}`,
    textField(object, 'progress'),
    reasonText(object),
  ].filter((fact) => fact !== undefined && fact !== '')
  const what = type === 'removed' ? 'removed' : facts.join(', ')
  return plainText(`${revision}  ${(kind ?? '').padEnd(9)}  ${name}  ${what}`.trimEnd())
}

function field(object: unknown, key: string): unknown {
  if (typeof object !== 'object' || object === null) return undefined
  return (object as Record<string, unknown>)[key] // proof: a non-null object
}
function textField(object: unknown, key: string): string | undefined {
  const value = field(object, key)
  return typeof value === 'string' ? value : undefined
}
function nameOfResource(object: unknown): string | undefined {
  return textField(field(object, 'resource'), 'name')
}
function reasonText(object: unknown): string | undefined {
  return textField(field(object, 'reason'), 'text')
}
