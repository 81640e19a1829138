/** Waiting for operations, and looking after changes whose outcome is unknown. */
import type { Client } from '@nubo/client'
import type { Operation } from '@nubo/contracts'
import type { CommandContext } from './context.ts'
import { CreateUnknownError, InterruptedError, OperationFailedError } from './errors.ts'
import { startProgress } from './output/progress.ts'

/**
 * Waits with progress on stderr until the operation is done. Throws OperationFailedError when it ended otherwise, and
 * InterruptedError when the person stops waiting.
 */
export async function followOperation(
  context: CommandContext,
  client: Client,
  operation: Operation,
): Promise<Operation> {
  const { surroundings } = context
  const stop = new AbortController()
  const release = surroundings.onSignal('SIGINT', () =>
    stop.abort(
      new InterruptedError(
        `Waiting was stopped; the operation goes on (${operation.progress || operation.kind}).`,
        `nubo operation wait ${operation.id}${context.projectFlag}`,
      ),
    ),
  )
  const progress = startProgress(surroundings)
  let isOut = false
  if (operation.endedAtMs === null) progress.update(progressText(operation))
  try {
    const ended = await client.waitOperation(operation.id, {
      ...context.inProject,
      signal: stop.signal,
      onProgress: (now) => {
        isOut = false
        if (now.endedAtMs === null) progress.update(progressText(now))
      },
      onOutage: (error) => {
        if (!isOut) progress.note(`${error.message} Trying again …`)
        isOut = true
      },
    })
    if (ended.state !== 'done') throw new OperationFailedError(ended)
    return ended
  } finally {
    progress.end()
    release()
  }
}

function progressText({ resource, progress, state, reason }: Operation): string {
  const what = progress === '' ? state : progress
  return `${resource.kind} ${resource.name}: ${what}${reason === null ? '' : ` (${reason.text})`}`
}

/** Says what came of a create whose answer was lost: names are unique, so one can look. */
export async function createOrLook<Result>(
  create: () => Promise<Result>,
  thing: { kind: string; name: string; look: () => Promise<unknown[] | object> },
): Promise<Result> {
  try {
    return await create()
  } catch (error) {
    const { OutcomeUnknownError } = await import('@nubo/client')
    if (!(error instanceof OutcomeUnknownError)) throw error
    const { kind, name, look } = thing
    const nextSteps = {
      there: `${kind} ${name} is there now, so it was most likely carried out: nubo ${kind} ls`,
      absent: `${kind} ${name} is not there; run the same command again`,
      unknown: `look whether ${kind} ${name} is there before you repeat it: nubo ${kind} ls`,
    }
    throw new CreateUnknownError(error.message, nextSteps[await whether(look)], error)
  }
}

/** `look` gives the thing, or a list of things that are it. */
async function whether(
  look: () => Promise<unknown[] | object>,
): Promise<'there' | 'absent' | 'unknown'> {
  try {
    const found = await look()
    return Array.isArray(found) && found.length === 0 ? 'absent' : 'there'
  } catch (error) {
    const { isApiError } = await import('@nubo/client')
    return isApiError(error, 'NOT_FOUND') ? 'absent' : 'unknown'
  }
}

/**
 * Changes each thing named: begins all, then finishes them in turn, so that waiting for one does not keep the others,
 * and neither does a failure. Prints what was changed: a line each for people; for programs the object, or a list where
 * several were named. Throws the last failure after all were tried; an interrupt ends it at once.
 */
export async function changeEach<Begun, Item extends object>(
  context: CommandContext,
  names: readonly string[],
  steps: { begin: (name: string) => Promise<Begun>; finish: (begun: Begun) => Promise<Item> },
  shown: { nameOf: (item: Item) => string; text: (item: Item) => string },
): Promise<void> {
  const items: Item[] = []
  const failures: { name: string; error: unknown }[] = []
  const begun: { name: string; value: Begun }[] = []
  for (const name of names) {
    try {
      begun.push({ name, value: await steps.begin(name) })
    } catch (error) {
      failures.push({ name, error })
    }
  }
  for (const { name, value } of begun) {
    try {
      const item = await steps.finish(value)
      items.push(item)
      if (context.format === 'table') context.write(shown.text(item))
    } catch (error) {
      if (error instanceof InterruptedError) throw error
      failures.push({ name, error })
    }
  }
  if (context.format !== 'table') await printChanged(context, names.length, items, shown)
  const last = failures.pop()
  for (const { name, error } of failures) {
    context.remark(`${name}: ${error instanceof Error ? error.message : String(error)}`)
  }
  if (last !== undefined) throw last.error
}

/** For changes that are done when their call answers. */
export function atOnce<Item>(change: (name: string) => Promise<Item>): {
  begin: (name: string) => Promise<Item>
  finish: (item: Item) => Promise<Item>
} {
  return { begin: change, finish: (item) => Promise.resolve(item) }
}

async function printChanged<Item extends object>(
  context: CommandContext,
  asked: number,
  items: readonly Item[],
  { nameOf, text }: { nameOf: (item: Item) => string; text: (item: Item) => string },
): Promise<void> {
  const [only] = items
  if (asked > 1) await context.printList(items, { columns: [], nameOf, empty: '', isOrdered: true })
  else if (only !== undefined) await context.printOne(only, nameOf(only), text)
}
