import type { Command } from 'commander'
import { formatBytes } from '@nubo/base'
import type { VmState, VmView } from '@nubo/contracts'
import type { CommandContext, ListShape } from '../context.ts'
import { paintState } from '../output/colour.ts'
import { age } from '../output/values.ts'
import { changeInstances, type InstanceChange } from './instance-changes.ts'
import { choice, noWait } from './options.ts'
import { defineVmCreate } from './vm-create.ts'
import { vmDetails } from './vm-show.ts'

const states = [
  'pending',
  'starting',
  'running',
  'paused',
  'stopping',
  'stopped',
  'failed',
  'unknown',
  'removing',
] as const satisfies readonly VmState[]

export function defineVm(vm: Command, context: CommandContext): void {
  defineVmCreate(vm, context)
  defineLook(vm, context)
  defineChanges(vm, context)
}

interface ListOptions {
  host?: string
  state?: VmState
  allProjects?: true
}

function defineLook(vm: Command, context: CommandContext): void {
  vm.command('ls')
    .description('list virtual machines')
    .option('--host <host>', 'only those placed on it')
    .addOption(choice('--state <state>', 'only those in this state', states))
    .option('--all-projects', 'of every project (operators)')
    .action(async ({ host, state, allProjects }: ListOptions) => {
      const client = await context.connect()
      const items = await client.listAll('vmList', {
        ...context.inProject,
        host,
        state,
        allProjects: allProjects === true ? 'true' : undefined,
      })
      await context.printList(items, shape(context))
    })

  vm.command('show')
    .description('show a virtual machine: its hardware, addresses, and why it is where it is')
    .argument('<vm>')
    .action(async (id: string) => {
      const client = await context.connect()
      const found = await client.vmShow({ params: { id }, query: context.inProject })
      await context.printOne(found, found.name, (one) => vmDetails(context, one))
    })
}

const changes = [
  ['start', 'vmStart', 'start a stopped VM on the host it is on', 'started'],
  ['restart', 'vmRestart', 'stop the guest in order, and start it again', 'restarted'],
  ['pause', 'vmPause', 'hold the processors; the memory stays', 'paused'],
  ['resume', 'vmResume', 'let the processors go on', 'resumed'],
  [
    'rm',
    'vmRemove',
    'remove VMs with their disks, and the ports that were made with them',
    'removed',
  ],
] as const

function defineChanges(vm: Command, context: CommandContext): void {
  const show: InstanceChange['show'] = (client, id) =>
    client.vmShow({ params: { id }, query: context.inProject })
  vm.command('stop')
    .description('ask the guest to switch itself off, and switch it off after its time')
    .argument('<vm...>')
    .option('--force', 'switch it off at once')
    .option(...noWait)
    .action(
      async (names: string[], { force = false, wait }: { force?: boolean; wait: boolean }) => {
        const begin: InstanceChange['begin'] = (client, id) =>
          client.vmStop({ params: { id }, query: context.inProject, body: { force } })
        return changeInstances(
          context,
          names,
          { kind: 'VM', done: 'stopped', begin, show },
          { wait },
        )
      },
    )
  for (const [verb, call, description, done] of changes) {
    vm.command(verb)
      .description(description)
      .argument('<vm...>')
      .option(...noWait)
      .action(async (names: string[], options: { wait: boolean }) => {
        const change: InstanceChange = {
          kind: 'VM',
          done,
          begin: (client, id) => client[call]({ params: { id }, query: context.inProject }),
          show: verb === 'rm' ? undefined : show,
        }
        return changeInstances(context, names, change, options)
      })
  }
}

function shape({ surroundings: { stdout, clock } }: CommandContext): ListShape<VmView> {
  return {
    columns: [
      { header: 'NAME', value: ({ name }) => name },
      { header: 'STATE', value: ({ state }) => state, paint: (cell) => paintState(cell, stdout) },
      { header: 'HOST', value: ({ host }) => host },
      { header: 'ADDRESS', value: ({ address }) => address },
      { header: 'NETWORK', value: ({ network }) => network },
      { header: 'IMAGE', value: ({ image }) => image },
      { header: 'CPU', value: ({ cpus }) => cpus, align: 'right' },
      { header: 'MEMORY', value: ({ memoryBytes }) => formatBytes(memoryBytes), align: 'right' },
      { header: 'ACCELERATOR', value: ({ accelerator }) => accelerator },
      { header: 'AGE', value: ({ createdAtMs }) => age(clock, createdAtMs) },
      { header: 'REASON', value: ({ reason }) => reason?.text ?? null },
    ],
    nameOf: ({ name }) => name,
    empty: 'There is no VM yet. Create one: nubo vm create NAME --image IMAGE --network NETWORK',
  }
}
