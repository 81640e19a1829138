/** What a person asks of sets and of VMs in the same words: stop, start, restart, remove. */
import type { Client } from '@nubo/client'
import type { Operation } from '@nubo/contracts'
import type { CommandContext } from '../context.ts'
import { atOnce, changeEach, followOperation } from '../follow.ts'
import { printOperation } from './operation.ts'

export interface InstanceChange {
  readonly kind: 'set' | 'VM'
  /** As in 'set web stopped'. */
  readonly done: string
  readonly begin: (client: Client, name: string) => Promise<Operation>
  /** The instance as it is after the change; undefined where nothing is left to show. */
  readonly show?: ((client: Client, id: string) => Promise<{ name: string }>) | undefined
}

/** Changes each, and waits for the ends unless told not to; one that fails does not keep the others. */
export async function changeInstances(
  context: CommandContext,
  names: readonly string[],
  { kind, done, begin, show }: InstanceChange,
  { wait }: { wait: boolean },
): Promise<void> {
  const client = await context.connect()
  const beginOne = (name: string): Promise<Operation> => begin(client, name)
  if (!wait) return changeLater(context, names, kind, beginOne)
  const text = ({ name }: { name: string }): string => `${kind} ${name} ${done}\n`
  const follow = (operation: Operation): Promise<Operation> =>
    followOperation(context, client, operation)
  if (show === undefined) {
    const nameOf = ({ resource }: Operation): string => resource.name
    const removed = { nameOf, text: ({ resource }: Operation): string => text(resource) }
    return changeEach(context, names, { begin: beginOne, finish: follow }, removed)
  }
  const finish = async (operation: Operation): Promise<{ name: string }> =>
    show(client, (await follow(operation)).resource.id)
  return changeEach(
    context,
    names,
    { begin: beginOne, finish },
    { nameOf: ({ name }) => name, text },
  )
}

/** `--no-wait`: the operations themselves are the result. */
async function changeLater(
  context: CommandContext,
  names: readonly string[],
  kind: InstanceChange['kind'],
  begin: (name: string) => Promise<Operation>,
): Promise<void> {
  const [only, ...more] = names
  if (only !== undefined && more.length === 0) return printOperation(context, await begin(only))
  return changeEach(context, names, atOnce(begin), {
    nameOf: ({ id }) => id,
    text: ({ resource, kind: verb, id }) =>
      `${verb} of ${kind} ${resource.name}: operation ${id}\n`,
  })
}
