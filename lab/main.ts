/** The machine verbs of `nubo`: up, demo, status, down, lab. */
import { parseArgs } from 'node:util'
import { formatDurationMs, PlatformError } from '@nubo/base'
import { createLab, demonstrate, type DemoResult, type Lab, type LabStatus } from './index.ts'
import { statusText } from './status-text.ts'
import { errorText, painter, ProgressPrinter, table } from './terminal.ts'

const usage = `Usage:
  nubo up [--hosts N] [--no-demo] [--no-power] [--api-port PORT]
                                                      start a cloud on this machine and prove it with a demo
  nubo demo                                           show once more that it works
  nubo status [-o json]                               what runs, where, in which version
  nubo down [--purge]                                 end everything; with --purge forget everything, too
  nubo lab power-off|power-on|heal HOST               pull or press a host's plug, plug its cables in again
  nubo lab cut HOST [mgmt|data]                       pull its cables, or one of them

  NUBO_HOME  folder of the cloud (default /var/lib/nubo); each home is a cloud of its own
`

class UsageError extends Error {}

/** How the caller calls us, for hints that can be copied. */
const command = process.env['NUBO_COMMAND'] ?? 'nubo'
const noColour = process.env['NO_COLOR'] !== undefined
const paint = painter(process.stdout, noColour)

async function main(words: readonly string[]): Promise<number> {
  const [verb = 'help', ...rest] = words
  if (verb === 'help' || words.includes('--help') || words.includes('-h')) {
    process.stdout.write(usage)
    return 0
  }
  const lab = createLab({
    ...(process.env['NUBO_HOME'] === undefined ? {} : { home: process.env['NUBO_HOME'] }),
    nodeCompileCache: process.env['NODE_COMPILE_CACHE'],
    databaseUrl: process.env['NUBO_DATABASE_URL'],
  })
  switch (verb) {
    case 'up':
      return up(lab, rest)
    case 'demo':
      parse(rest, {})
      return demo(lab)
    case 'status':
      return status(lab, rest)
    case 'down':
      return down(lab, rest)
    case 'lab':
      return hostVerb(lab, rest)
    default:
      throw new UsageError(`unknown verb ${verb}`)
  }
}

async function up(lab: Lab, words: readonly string[]): Promise<number> {
  const { values } = parse(words, {
    hosts: { type: 'string' },
    'no-demo': { type: 'boolean' },
    'no-power': { type: 'boolean' },
    'api-port': { type: 'string' },
  })
  const started = performance.now()
  const printer = new ProgressPrinter(process.stdout, noColour)
  process.once('SIGINT', () => {
    printer.end()
    process.stdout.write(
      'It goes on in the background: `nubo status` tells how far it is, `nubo down` ends it.\n',
    )
    process.exit(130)
  })
  process.stdout.write(`Starting a cloud in ${lab.home.folder}\n`)
  let found: LabStatus
  try {
    found = await lab.up({
      hosts: integer(values.hosts, '--hosts'),
      apiPort: integer(values['api-port'], '--api-port'),
      power: values['no-power'] !== true,
      tell: printer.tell,
    })
  } finally {
    printer.end()
  }
  process.stdout.write(
    `${paint('bold', 'Ready')} after ${formatDurationMs(performance.now() - started)}: ${found.hosts.length} hosts, API at ${found.api.join(' and ')}\n`,
  )
  if (values['no-demo'] === true) return 0
  return demo(lab)
}

async function demo(lab: Lab): Promise<number> {
  if ((await lab.status()) === undefined) throw notRunning()
  process.stdout.write('\nDemo\n')
  const printer = new ProgressPrinter(process.stdout, noColour)
  let result: DemoResult
  try {
    result = await demonstrate(lab.client(), printer.tell)
  } finally {
    printer.end()
  }
  const rows = result.sets.map((set) => [
    set.name,
    set.state,
    set.host ?? '',
    set.subnet,
    set.address,
  ])
  process.stdout.write(`
${table(['SET', 'STATE', 'HOST', 'SUBNET', 'ADDRESS'], rows)}
  ${paint('gray', `client$ ${result.question}`)}
  ${paint('bold', result.answer.replaceAll('\n', '\n  '))}

Try next:
  ${command} set ls
  ${command} set exec -it client -- sh
  ${command} set run another --image busybox --network shop --subnet shop-web -- httpd -f -p 80 -h /www
  ${command} lab power-off h1      (and see what becomes of it: ${command} watch set)
  ${command} down
`)
  return 0
}

async function status(lab: Lab, words: readonly string[]): Promise<number> {
  const { values } = parse(words, { output: { type: 'string', short: 'o' } })
  if (values.output !== undefined && values.output !== 'json' && values.output !== 'table') {
    throw new UsageError('-o takes json or table')
  }
  const found = await lab.status()
  if (found === undefined) throw notRunning()
  if (values.output === 'json') {
    process.stdout.write(`${JSON.stringify(found, null, 2)}\n`)
    return 0
  }
  process.stdout.write(statusText(found, Date.now()))
  return 0
}

async function down(lab: Lab, words: readonly string[]): Promise<number> {
  const { values } = parse(words, { purge: { type: 'boolean' } })
  const printer = new ProgressPrinter(process.stdout, noColour)
  try {
    await lab.down({ purge: values.purge === true, tell: printer.tell })
  } finally {
    printer.end()
  }
  process.stdout.write(
    values.purge === true
      ? `Nothing is left of the cloud in ${lab.home.folder}.\n`
      : `The cloud is down; what it stores is kept in ${lab.home.folder} (--purge removes it).\n`,
  )
  return 0
}

async function hostVerb(lab: Lab, words: readonly string[]): Promise<number> {
  const { positionals } = parse(words, {})
  const [verb, host, cable, ...more] = positionals
  if (host === undefined || more.length > 0 || (cable !== undefined && verb !== 'cut')) {
    throw new UsageError('nubo lab VERB HOST')
  }
  switch (verb) {
    case 'power-off':
      await lab.powerOff(host)
      break
    case 'power-on':
      await lab.powerOn(host)
      break
    case 'heal':
      await lab.heal(host)
      break
    case 'cut':
      if (cable !== undefined && cable !== 'mgmt' && cable !== 'data')
        throw new UsageError('a cable is mgmt or data')
      await lab.cut(host, cable === undefined ? undefined : [cable])
      break
    default:
      throw new UsageError(`unknown verb lab ${verb ?? ''}`)
  }
  process.stdout.write(`${host}: ${verb} done\n`)
  return 0
}

type Options = NonNullable<NonNullable<Parameters<typeof parseArgs>[0]>['options']>

function parse<Named extends Options>(words: readonly string[], options: Named) {
  try {
    return parseArgs({ args: [...words], options, allowPositionals: true, strict: true })
  } catch (cause) {
    throw new UsageError(cause instanceof Error ? cause.message : String(cause), { cause })
  }
}

function integer(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined
  if (!/^[0-9]{1,6}$/.test(text)) throw new UsageError(`${option} takes a number, not "${text}"`)
  return Number(text)
}

function notRunning(): PlatformError {
  return new PlatformError(
    'NOT_ALLOWED_NOW',
    { next: 'start it with `nubo up`' },
    { message: 'No cloud runs here.' },
  )
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (error instanceof UsageError) {
    process.stderr.write(`nubo: ${error.message}\n\n${usage}`)
    process.exitCode = 2
  } else {
    process.stderr.write(errorText(error))
    process.exitCode = 1
  }
}
