import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import type { Host, HostFence } from '@nubo/contracts'
import type { CommandContext } from '../context.ts'
import { FileError, whyFile } from '../errors.ts'
import { followOperation } from '../follow.ts'
import { renderFields } from '../output/table.ts'
import { age } from '../output/values.ts'

interface FenceOptions {
  confirmOff?: true
  force?: true
  wait: boolean
}

interface PowerOptions {
  redfish: string
  user: string
  passwordFile: string
  fingerprint?: string
}

/** `host fence` and `host power`: for hosts that are, or should be, off. */
export function defineFencing(host: Command, context: CommandContext): void {
  host
    .command('fence')
    .description(
      'have a lost host proven stopped, so that its sets with recovery elsewhere run again: by power-off, or by your word',
    )
    .argument('<host>')
    .option('--confirm-off', 'you have seen that it is off, or that nothing of it runs')
    .option('--force', 'switch it off although it is connected or its neighbours hear it')
    .option('--no-wait', 'do not wait until it is fenced')
    .action(async (id: string, { confirmOff, force, wait }: FenceOptions) => {
      const client = await context.connect()
      const begun = await client.hostFence({
        params: { id },
        body: { confirmOff: confirmOff === true, force: force === true },
      })
      const operation = wait ? await followOperation(context, client, begun) : begun
      await context.printOne(operation, operation.id, ({ resource, progress }) =>
        wait ? `host ${resource.name} is fenced\n` : `host ${resource.name}: ${progress}\n`,
      )
    })

  const power = host
    .command('power')
    .description('the management controller of a host, by which a lost one is switched off')
  power
    .command('set')
    .description('give Nubo the management controller of a host')
    .argument('<host>')
    .requiredOption('--redfish <url>', 'https://CONTROLLER/redfish/v1/Systems/ID')
    .requiredOption('--user <name>')
    .requiredOption('--password-file <file>', 'file with the password in its first line')
    .option('--fingerprint <sha256>', 'of the certificate of the controller; needed with https')
    .action(async (id: string, options: PowerOptions) => {
      const password = passwordIn(options.passwordFile)
      const client = await context.connect()
      const changed = await client.hostPowerSet({
        params: { id },
        body: {
          redfish: options.redfish,
          user: options.user,
          password,
          certificateSha256: options.fingerprint,
        },
      })
      await context.printOne(
        changed,
        changed.name,
        ({ name }) => `the power of host ${name} is under control\n`,
      )
    })
  power
    .command('show')
    .description('ask the management controller of a host whether the machine is on')
    .argument('<host>')
    .action(async (id: string) => {
      const client = await context.connect()
      const found = await client.hostPowerShow({ params: { id } })
      await context.printOne(found, found.state, ({ state, problem, power: known }) =>
        renderFields([
          ['power', state === 'none' ? 'not under control (nubo host power set)' : state],
          ['problem', problem],
          ['controller', known?.redfish ?? null],
          ['user', known?.user ?? null],
          ['fingerprint', known?.certificateSha256 ?? null],
        ]),
      )
    })
  power
    .command('clear')
    .description('forget the management controller of a host and its password')
    .argument('<host>')
    .action(async (id: string) => {
      const client = await context.connect()
      const changed = await client.hostPowerClear({ params: { id } })
      await context.printOne(
        changed,
        changed.name,
        ({ name }) => `the power of host ${name} is no longer under control\n`,
      )
    })
}

/** Said beside lists of hosts while so much is lost at once that nothing is fenced. */
export async function remarkBrake(context: CommandContext): Promise<void> {
  const client = await context.connect()
  const { items } = await client.brakeList()
  for (const { reason, since } of items)
    context.remark(`BRAKE since ${age(context.surroundings.clock, since)}: ${reason.text}`)
}

/** The story of a lost host, for `host show`. */
export function fenceText(context: CommandContext, { fence }: Host): string {
  if (fence === null) return ''
  const { clock } = context.surroundings
  return `\nFENCING\n${renderFields([
    ['step', fence.step],
    ['silent', fence.silentSince === null ? null : `for ${age(clock, fence.silentSince)}`],
    ...fence.neighbours.map((word): [string, string] => [`neighbour ${word.host}`, wordText(word)]),
    ['power', fence.power === 'none' ? 'not under control' : fence.power],
    [
      'controller',
      fence.isPowerDoubted === true
        ? 'was caught lying: it said off while a neighbour heard the machine'
        : fence.powerProblem,
    ],
    [
      'fenced',
      fence.fencedAt === null ? null : `${age(clock, fence.fencedAt)} ago, by ${fence.by}`,
    ],
    ['', fence.text],
  ])}`
}

function wordText({ answer, lease, elsewhereRunning }: HostFence['neighbours'][number]): string {
  switch (answer) {
    case 'silence':
      return 'hears nothing'
    case 'no-report':
      return 'did not say'
    case 'heard':
      return `hears it: lease ${lease ?? 'unknown'}, running \`elsewhere\` sets: ${elsewhereRunning ?? '?'}`
  }
}

function passwordIn(file: string): string {
  try {
    return readFileSync(file, 'utf8').split('\n')[0] ?? ''
  } catch (cause) {
    throw new FileError(`${file} cannot be read: ${whyFile(cause)}.`, cause)
  }
}
