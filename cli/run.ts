import { Command, CommanderError, Help, Option } from 'commander'
import { machineVerbs, nouns, type Noun } from './commands/tree.ts'
import { CommandContext, type GlobalOptions } from './context.ts'
import { exitCode, UsageError } from './errors.ts'
import { outputFormats, type OutputFormat } from './output/json.ts'
import type { Surroundings } from './surroundings.ts'

const HELP_END = `
Examples:
  nubo up                                        a cloud on this machine, with a demo
  nubo network create shop --cidr 10.0.0.0/16
  nubo subnet create shop front --cidr 10.0.1.0/24
  nubo image import busybox busybox.tar
  nubo set run web --image busybox --network shop -- httpd -f -p 80
  nubo set ls -o json

Names or ids are taken everywhere. Changes wait until they are done; --no-wait returns the operation.
Exit codes: 0 done, 1 failed, 2 usage, 3 not placed.
The cloud is found by --server, NUBO_SERVERS and NUBO_TOKEN, 'nubo login', or is the one of this machine.
'nubo help NOUN [VERB]' tells more.`

/** Runs one command line; returns the exit code. Never throws. */
export async function runCommand(surroundings: Surroundings): Promise<number> {
  const program = createProgram(surroundings)
  const { context } = program
  try {
    const { argv } = surroundings
    await program.root.parseAsync(argv.length === 0 ? ['--help'] : [...argv], { from: 'user' })
    return context.exitCode
  } catch (error) {
    if (isHelp(error)) return exitCode.done
    return await fail(surroundings, program, error)
  }
}

/** A noun's help is its verbs; options belong to verbs. */
const usual = new Help()
const isNoun = (command: Command): boolean => command.parent !== null && command.commands.length > 0
const helpStyle: Partial<Help> = {
  showGlobalOptions: true,
  visibleOptions: (command) => (isNoun(command) ? [] : usual.visibleOptions(command)),
  visibleGlobalOptions: (command) => {
    if (isNoun(command)) return []
    const all = new Help()
    all.showGlobalOptions = true
    return all.visibleGlobalOptions(command)
  },
  visibleArguments: (command) =>
    usual.visibleArguments(command).filter(({ description }) => description !== ''),
  optionDescription: ({ description, argChoices }) =>
    argChoices === undefined ? description : `${description}: ${argChoices.join(', ')}`,
}

export interface Program {
  readonly root: Command
  readonly context: CommandContext
  /** The command that is being run, as deep as it is known: 'set run'. */
  readonly currentPath: () => string[]
  /** Defines the verbs of one noun; once. */
  readonly loadNoun: (command: Command) => Promise<void>
}

/** The command tree with its nouns still empty; each is filled when it is used. */
export function createProgram(surroundings: Surroundings): Program {
  const root = new Command('nubo')
  const context = new CommandContext(surroundings, () => root.opts<GlobalOptions>())
  let path: string[] = []
  const loaded = new Map<Command, Promise<void>>()
  const loadNoun = (command: Command): Promise<void> => {
    const noun = nouns.find(({ name }) => name === command.name())
    if (noun === undefined) return Promise.resolve()
    const loading = loaded.get(command) ?? fill(noun, command)
    loaded.set(command, loading)
    return loading
  }
  const fill = async (noun: Noun, command: Command): Promise<void> => {
    const define = await noun.load()
    command.helpCommand(false)
    define(command, context)
    if (command.commands.length > 0) command.usage('<verb> [options]')
    command.hook('preSubcommand', (_, verb) => void path.push(verb.name()))
  }

  root
    .description('Linux servers as a cloud: container sets in isolated networks.')
    .usage('<noun> <verb> [options]')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void surroundings.stdout.write(text),
      writeErr: (text) => void surroundings.stderr.write(text),
      getOutHelpWidth: () => surroundings.stdout.columns ?? 100,
      getErrHelpWidth: () => surroundings.stderr.columns ?? 100,
      // Usage errors are reported with all others, in `fail`.
      outputError: () => undefined,
    })
    .configureHelp(helpStyle)
    .helpOption('-h, --help', 'show help')
    .helpCommand(false)
    .addHelpText('after', HELP_END)
    .hook('preSubcommand', async (_, command) => {
      path = [command.name()]
      await loadNoun(command)
    })
  addGlobalOptions(root)

  root.commandsGroup('Resources:')
  for (const { name, summary } of nouns) root.command(name).description(summary)
  root.commandsGroup('This machine:')
  for (const { name, usage, summary } of machineVerbs)
    addMachineVerb(root, { name, usage, summary })
  addHelpVerb(root, loadNoun)
  return { root, context, currentPath: () => path, loadNoun }
}

function addGlobalOptions(root: Command): void {
  root
    .addOption(
      new Option('-o, --output <format>', 'how results are printed')
        .choices(outputFormats)
        .default('table' satisfies OutputFormat),
    )
    .option('--project <project>', "another project than the token's own")
    .option(
      '--server <url>',
      'address of a server; may be repeated',
      (url: string, before: string[] | undefined) => [...(before ?? []), ...url.split(',')],
    )
    .option('--token-file <file>', 'file that holds the token')
    .option('--debug', 'print each call of the API')
}

function addMachineVerb(
  root: Command,
  verb: { name: string; usage: string; summary: string },
): void {
  root
    .command(verb.name)
    .description(verb.summary)
    .usage(verb.usage.slice(verb.name.length).trim())
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() => {
      throw new UsageError(
        `'nubo ${verb.name}' is done by the launcher, not by this program.`,
        `use the file 'nubo' at the top of the checkout: ./nubo ${verb.usage}`,
      )
    })
}

function addHelpVerb(root: Command, loadNoun: (command: Command) => Promise<void>): void {
  root
    .command('help')
    .argument('[noun]')
    .argument('[verb]')
    .description('help for a noun or a verb')
    .action(async (nounName?: string, verbName?: string) => {
      const noun = find(root, nounName)
      await loadNoun(noun)
      find(noun, verbName).outputHelp()
    })
}

function find(parent: Command, name: string | undefined): Command {
  if (name === undefined) return parent
  const found = parent.commands.find((command) => command.name() === name)
  if (found === undefined) {
    const known = parent.commands.map((command) => command.name()).join(', ')
    throw new UsageError(`there is no '${name}'`, `one of: ${known}`)
  }
  return found
}

function isHelp(error: unknown): boolean {
  return error instanceof CommanderError && error.exitCode === 0
}

async function fail(
  surroundings: Surroundings,
  { context, currentPath }: Program,
  error: unknown,
): Promise<number> {
  // A noun without a verb has shown its help by now, and that is all there is to say.
  if (error instanceof CommanderError && error.code === 'commander.help') return exitCode.usage
  const { printReport, reportOf } = await import('./output/errors.ts')
  const path = currentPath()
  const cause = error instanceof CommanderError ? usageError(error, path.join(' ')) : error
  const report = reportOf(cause, { noun: path[0] ?? '', path: path.join(' ') })
  printReport(surroundings, report, outputFormat(surroundings, context))
  if (context.options.debug === true && error instanceof Error) {
    surroundings.stderr.write(`debug: ${error.stack ?? ''}\n`)
  }
  return report.exitCode
}

function usageError({ code, message }: CommanderError, path: string): UsageError {
  const takesProgram = ['set exec', 'set run', 'image import'].includes(path)
  return new UsageError(
    message.replace(/^error: /, ''),
    takesProgram && code === 'commander.unknownOption'
      ? `put '--' before the program and its options; or see: nubo ${path} --help`
      : undefined,
  )
}

/** The format asked for, also when the command line around it could not be understood. */
function outputFormat({ argv }: Surroundings, context: CommandContext): OutputFormat {
  if (context.format !== 'table') return context.format
  const end = argv.indexOf('--')
  const own = end < 0 ? argv : argv.slice(0, end)
  const isJson = own.some(
    (word, at) =>
      word === '-ojson' ||
      word === '--output=json' ||
      ((word === '-o' || word === '--output') && own[at + 1] === 'json'),
  )
  return isJson ? 'json' : 'table'
}
