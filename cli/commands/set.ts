import type { Command } from 'commander'
import type { SetState, SetView } from '@nubo/contracts'
import type { CommandContext, ListShape } from '../context.ts'
import { paintState } from '../output/colour.ts'
import { age } from '../output/values.ts'
import { changeInstances, type InstanceChange } from './instance-changes.ts'
import { choice, noWait } from './options.ts'
import { defineSetApply } from './set-apply.ts'
import { defineRun } from './set-run.ts'
import { setDetails } from './set-show.ts'
import { defineExec, defineLogs } from './set-stream.ts'

const states = [
  'pending',
  'starting',
  'running',
  'degraded',
  'stopping',
  'stopped',
  'failed',
  'unknown',
  'removing',
] as const satisfies readonly SetState[]

export function defineSet(set: Command, context: CommandContext): void {
  defineRun(set, context)
  defineSetApply(set, context)
  defineLook(set, context)
  defineExec(set, context)
  defineLogs(set, context)
  defineChanges(set, context)
}

interface ListOptions {
  host?: string
  state?: SetState
  allProjects?: true
}

function defineLook(set: Command, context: CommandContext): void {
  set
    .command('ls')
    .description('list sets')
    .option('--host <host>', 'only those placed on it')
    .addOption(choice('--state <state>', 'only those in this state', states))
    .option('--all-projects', 'of every project (operators)')
    .action(async ({ host, state, allProjects }: ListOptions) => {
      const client = await context.connect()
      const items = await client.listAll('setList', {
        ...context.inProject,
        host,
        state,
        allProjects: allProjects === true ? 'true' : undefined,
      })
      await context.printList(items, shape(context))
    })

  set
    .command('show')
    .description('show a set: its containers, addresses, and why it is where it is')
    .argument('<set>')
    .option('--hosts', 'instead what every host would say now, as if it were on none')
    .action(async (id: string, { hosts }: { hosts?: true }) => {
      if (hosts === true) return (await import('./place.ts')).explainSet(context, id)
      const client = await context.connect()
      const found = await client.setShow({ params: { id }, query: context.inProject })
      await context.printOne(found, found.name, (one) => setDetails(context, one))
    })
}

const changes = [
  ['stop', 'setStop', 'stop the containers; host and address stay', 'stopped'],
  ['start', 'setStart', 'start a stopped set on the host it is on', 'started'],
  ['restart', 'setRestart', 'start the containers anew', 'restarted'],
  ['rm', 'setRemove', 'remove sets, and the ports that were made with them', 'removed'],
] as const

function defineChanges(set: Command, context: CommandContext): void {
  for (const [verb, call, description, done] of changes) {
    set
      .command(verb)
      .description(description)
      .argument('<set...>')
      .option(...noWait)
      .action(async (names: string[], options: { wait: boolean }) => {
        const query = context.inProject
        const change: InstanceChange = {
          kind: 'set',
          done,
          begin: (client, id) => client[call]({ params: { id }, query }),
          show:
            verb === 'rm' ? undefined : (client, id) => client.setShow({ params: { id }, query }),
        }
        return changeInstances(context, names, change, options)
      })
  }
}

function shape({ surroundings: { stdout, clock } }: CommandContext): ListShape<SetView> {
  return {
    columns: [
      { header: 'NAME', value: ({ name }) => name },
      {
        header: 'STATE',
        value: ({ state }) => state,
        paint: (cell) => paintState(cell, stdout),
      },
      { header: 'HOST', value: ({ host }) => host },
      { header: 'ADDRESS', value: ({ address }) => address },
      { header: 'NETWORK', value: ({ network }) => network },
      { header: 'CONTAINERS', value: containersText },
      {
        header: 'RESTARTS',
        value: ({ containers }) => containers.reduce((sum, { restarts }) => sum + restarts, 0),
        align: 'right',
      },
      { header: 'AGE', value: ({ createdAtMs }) => age(clock, createdAtMs) },
      { header: 'REASON', value: ({ reason }) => reason?.text ?? null },
    ],
    nameOf: ({ name }) => name,
    empty: 'There is no set yet. Run one: nubo set run NAME --image IMAGE --network NETWORK',
  }
}

/** '1/2': running of all. */
function containersText({ containers }: SetView): string {
  return `${containers.filter(({ state }) => state === 'running').length}/${containers.length}`
}
