import type { Command } from 'commander'
import type { Operation } from '@nubo/contracts'
import type { CommandContext } from '../context.ts'
import { changeEach, atOnce, followOperation } from '../follow.ts'
import { printOperation } from './operation.ts'

/** `host drain` and `host maintenance`: for hosts that somebody is going to work on. */
export function defineDrain(host: Command, context: CommandContext): void {
  host
    .command('drain')
    .description('keep new instances away from a host and move its sets to others, one by one')
    .argument('<host>')
    .option('--no-wait', 'do not wait until it is empty')
    .action(async (id: string, { wait }: { wait: boolean }) => {
      const client = await context.connect()
      await finish(await client.hostDrain({ params: { id } }), { wait, done: 'is drained' })
    })

  const maintenance = host
    .command('maintenance')
    .description('work on a host: it is emptied, and not fenced when it is silent')
  maintenance
    .command('on')
    .description('cordon and drain a host; sets with recovery local that belong on it stay')
    .argument('<host>')
    .option('--no-wait', 'do not wait until its sets have moved')
    .action(async (id: string, { wait }: { wait: boolean }) => {
      const client = await context.connect()
      const begun = await client.hostMaintenanceBegin({ params: { id } })
      await finish(begun, { wait, done: 'is in maintenance' })
    })
  maintenance
    .command('off')
    .description('let new instances onto hosts again; nothing moves back')
    .argument('<host...>')
    .action(async (names: string[]) => {
      const client = await context.connect()
      await changeEach(
        context,
        names,
        atOnce((id) => client.hostMaintenanceEnd({ params: { id } })),
        {
          nameOf: ({ name }) => name,
          text: ({ name }) => `host ${name} takes new instances again\n`,
        },
      )
    })

  async function finish(begun: Operation, how: { wait: boolean; done: string }): Promise<void> {
    if (!how.wait) return printOperation(context, begun)
    const ended = await followOperation(context, await context.connect(), begun)
    await context.printOne(
      ended,
      ended.id,
      ({ resource, progress }) => `host ${resource.name} ${how.done}: ${progress}\n`,
    )
  }
}
