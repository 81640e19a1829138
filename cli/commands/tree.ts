/**
 * The nouns and verbs, without their code: help and completion need only this list, and a command loads only its own
 * noun. To add a noun, add a line here and a file beside it.
 */
import type { Command } from 'commander'
import type { CommandContext } from '../context.ts'

/** Adds verbs, options and actions to a command that so far has a name and a summary. */
export type DefineCommand = (command: Command, context: CommandContext) => void

export interface Noun {
  readonly name: string
  readonly summary: string
  readonly load: () => Promise<DefineCommand>
}

export const nouns: readonly Noun[] = [
  {
    name: 'set',
    summary: 'containers that share a network address: run, look at, change',
    load: async () => (await import('./set.ts')).defineSet,
  },
  {
    name: 'vm',
    summary: 'virtual machines: create, look at, change',
    load: async () => (await import('./vm.ts')).defineVm,
  },
  {
    name: 'place',
    summary: 'where a set would go, and why nowhere else',
    load: async () => (await import('./place.ts')).definePlace,
  },
  {
    name: 'image',
    summary: 'what sets and VMs start from',
    load: async () => (await import('./image.ts')).defineImage,
  },
  {
    name: 'network',
    summary: 'isolated address spaces',
    load: async () => (await import('./network.ts')).defineNetwork,
  },
  {
    name: 'subnet',
    summary: 'ranges of a network, each with its gateway',
    load: async () => (await import('./subnet.ts')).defineSubnet,
  },
  {
    name: 'port',
    summary: 'addresses in a subnet',
    load: async () => (await import('./port.ts')).definePort,
  },
  {
    name: 'plan',
    summary: 'see what applying a manifest would change',
    load: async () => (await import('./plan.ts')).definePlan,
  },
  {
    name: 'apply',
    summary: 'make a project as a manifest describes it',
    load: async () => (await import('./apply.ts')).defineApply,
  },
  {
    name: 'operation',
    summary: 'changes that take longer than their call',
    load: async () => (await import('./operation.ts')).defineOperation,
  },
  {
    name: 'watch',
    summary: 'see changes as they happen',
    load: async () => (await import('./watch.ts')).defineWatch,
  },
  {
    name: 'project',
    summary: 'where resources live (operators)',
    load: async () => (await import('./project.ts')).defineProject,
  },
  {
    name: 'account',
    summary: 'who acts, in several projects (operators)',
    load: async () => (await import('./account.ts')).defineAccount,
  },
  {
    name: 'quota',
    summary: 'how much a project uses and may use',
    load: async () => (await import('./quota.ts')).defineQuota,
  },
  {
    name: 'audit',
    summary: 'who changed what, or was refused (owners)',
    load: async () => (await import('./audit.ts')).defineAudit,
  },
  {
    name: 'token',
    summary: 'keys with which programs and people call',
    load: async () => (await import('./token.ts')).defineToken,
  },
  {
    name: 'host',
    summary: 'servers that run instances (operators)',
    load: async () => (await import('./host.ts')).defineHost,
  },
  {
    name: 'login',
    summary: 'remember a cloud and a token',
    load: async () => (await import('./login.ts')).defineLogin,
  },
  {
    name: 'completion',
    summary: 'shell completion for bash, zsh or fish',
    load: async () => (await import('./completion.ts')).defineCompletion,
  },
]

/** Verbs that the launcher hands to other programs; here they are only listed. */
export const machineVerbs: readonly {
  readonly name: string
  readonly usage: string
  readonly summary: string
}[] = [
  {
    name: 'up',
    usage: 'up [--hosts N] [--no-demo]',
    summary: 'start a cloud of three hosts on this machine, and prove it with a demo',
  },
  { name: 'demo', usage: 'demo', summary: 'run the demo again' },
  { name: 'status', usage: 'status', summary: 'what of the cloud on this machine runs' },
  { name: 'down', usage: 'down [--purge]', summary: 'stop it; with --purge leave nothing' },
  {
    name: 'lab',
    usage: 'lab power-off|power-on|cut|heal HOST',
    summary: 'let faults happen to a host of it',
  },
  { name: 'test', usage: 'test [SUITE]', summary: 'all checks and tests' },
  { name: 'bench', usage: 'bench [NAME]', summary: 'measure what is promised' },
  { name: 'sim', usage: 'sim', summary: 'the control plane with simulated hosts, under one seed' },
  { name: 'agent', usage: 'agent join TOKEN', summary: 'make this server a host of a cloud' },
]
