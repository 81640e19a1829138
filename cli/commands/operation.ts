import type { Command } from 'commander'
import type { Operation, OperationState } from '@nubo/contracts'
import type { CommandContext, ListShape } from '../context.ts'
import { followOperation } from '../follow.ts'
import { paintState } from '../output/colour.ts'
import { renderFields } from '../output/table.ts'
import { age, fromNow } from '../output/values.ts'
import { choice } from './options.ts'

const states = [
  'pending',
  'running',
  'done',
  'failed',
  'superseded',
  'cancelled',
] as const satisfies readonly OperationState[]

export function defineOperation(operation: Command, context: CommandContext): void {
  operation
    .command('ls')
    .description('list operations of the project, newest first')
    .addOption(choice('--state <state>', 'only those in this state', states))
    .action(async ({ state }: { state?: OperationState }) => {
      const client = await context.connect()
      const items = await client.listAll('operationList', { ...context.inProject, state })
      await context.printList(items, shape(context))
    })

  operation
    .command('show')
    .description('show an operation')
    .argument('<operation>', 'its id')
    .action(async (id: string) => {
      const client = await context.connect()
      const found = await client.operationShow({ params: { id }, query: context.inProject })
      await context.printOne(found, found.id, (one) => details(context, one))
    })

  operation
    .command('wait')
    .description('wait until an operation has ended; exits with what came of it')
    .argument('<operation>', 'its id')
    .action(async (id: string) => {
      const client = await context.connect()
      const known = await client.operationShow({ params: { id }, query: context.inProject })
      const ended = await followOperation(context, client, known)
      await context.printOne(ended, ended.id, (one) => `${title(one)}: ${one.state}\n`)
    })

  operation
    .command('cancel')
    .description('ask that an operation be given up; what is done already stays')
    .argument('<operation>', 'its id')
    .action(async (id: string) => {
      const client = await context.connect()
      const asked = await client.operationCancel({ params: { id }, query: context.inProject })
      await context.printOne(asked, asked.id, (one) => `${title(one)}: ${one.state}\n`)
    })
}

/** 'set.create of set web' */
function title({ kind, resource }: Operation): string {
  return `${kind} of ${resource.kind} ${resource.name}`
}

/** What `--no-wait` prints. */
export async function printOperation(context: CommandContext, operation: Operation): Promise<void> {
  await context.printOne(
    operation,
    operation.id,
    (one) => `${title(one)}: ${one.state}\n  nubo operation wait ${one.id}${context.projectFlag}\n`,
  )
}

function shape({ surroundings: { stdout, clock } }: CommandContext): ListShape<Operation> {
  return {
    columns: [
      { header: 'ID', value: ({ id }) => id, isWhole: true },
      { header: 'KIND', value: ({ kind }) => kind },
      { header: 'NAME', value: ({ resource }) => resource.name },
      {
        header: 'STATE',
        value: ({ state }) => state,
        paint: (cell) => paintState(cell, stdout),
      },
      { header: 'AGE', value: ({ createdAtMs }) => age(clock, createdAtMs) },
      { header: 'PROGRESS', value: ({ progress, reason }) => reason?.text ?? progress },
    ],
    nameOf: ({ id }) => id,
    empty: 'There is no operation.',
    isOrdered: true,
  }
}

function details({ surroundings: { stdout, clock } }: CommandContext, one: Operation): string {
  const fields = renderFields([
    ['id', one.id],
    ['progress', one.progress],
    ['reason', one.reason === null ? null : `${one.reason.text} (${one.reason.code})`],
    ['resource', `${one.resource.kind} ${one.resource.name} (${one.resource.id})`],
    ['generation', one.generation],
    ['may be cancelled', one.mayCancel ? 'yes' : 'no'],
    ['started', `${age(clock, one.createdAtMs)} ago`],
    ['ended', one.endedAtMs === null ? null : `${age(clock, one.endedAtMs)} ago`],
    ['deadline', one.endedAtMs === null ? fromNow(clock, one.deadlineAtMs) : null],
  ])
  return `${title(one)}  ${paintState(one.state, stdout)}\n${fields}`
}
