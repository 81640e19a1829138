/** The command tree as completion needs it, read from the commands themselves. */
import type { Argument, Command, Option } from 'commander'

/** Where the candidates of a value come from. */
export type Source =
  | { from: 'names'; noun: string }
  | { from: 'words'; words: readonly string[] }
  | { from: 'files' }
  | { from: 'nothing' }

export interface CompletionOption {
  /** '-o', '--output' */
  readonly flags: readonly string[]
  readonly summary: string
  /** Undefined: it takes no value. */
  readonly value: Source | undefined
}

export interface CompletionNode {
  /** '' for the program, '/set', '/set/run'. */
  readonly path: string
  readonly commands: readonly { readonly name: string; readonly summary: string }[]
  readonly options: readonly CompletionOption[]
  readonly positionals: readonly Source[]
  /** The last positional may come again. */
  readonly repeatsLast: boolean
}

/** Nouns that can be listed, and so completed: an argument `<set>` or an option `--image <image>` is one of them. */
const listable = new Set([
  'set',
  'image',
  'network',
  'subnet',
  'port',
  'project',
  'account',
  'token',
  'host',
  'operation',
])

/**
 * The program and everything below it, top down. All nouns must be loaded. Verbs of the machine belong to other
 * programs: only their usage text is known here, and the global options are not theirs.
 */
export function completionNodes(
  root: Command,
  isMachineVerb: (command: Command) => boolean,
): CompletionNode[] {
  const globals = root.options.map(optionOf)
  const nodes: CompletionNode[] = []
  const visit = (command: Command, path: string): void => {
    const own = command === root ? [] : command.options.map(optionOf)
    const help = { flags: ['-h', '--help'], summary: 'show help', value: undefined }
    const usage = isMachineVerb(command) ? wordsOfUsage(command) : undefined
    nodes.push({
      path,
      commands: command.commands.map((one) => ({ name: one.name(), summary: one.description() })),
      options: [...own, ...(usage?.options ?? globals), help],
      positionals: usage?.values ?? command.registeredArguments.map(argumentOf),
      repeatsLast: command.registeredArguments.at(-1)?.variadic === true,
    })
    for (const one of command.commands) visit(one, `${path}/${one.name()}`)
  }
  visit(root, '')
  return nodes
}

function optionOf(option: Option): CompletionOption {
  const flags = [option.short, option.long].filter((flag) => flag !== null && flag !== undefined)
  const takesValue = option.required || option.optional
  const placeholder = /<([^>]+)>/.exec(option.flags)?.[1] ?? ''
  return {
    flags,
    summary: option.description,
    value: takesValue ? sourceOf(placeholder, option.argChoices) : undefined,
  }
}

function argumentOf(argument: Argument): Source {
  return sourceOf(argument.name(), argument.argChoices)
}

function sourceOf(placeholder: string, choices: readonly string[] | undefined): Source {
  if (choices !== undefined) return { from: 'words', words: choices }
  if (listable.has(placeholder)) return { from: 'names', noun: placeholder }
  return placeholder === 'file' ? { from: 'files' } : { from: 'nothing' }
}

/** '[--hosts N] [--no-demo]', 'power-off|power-on HOST'. */
function wordsOfUsage(command: Command): { options: CompletionOption[]; values: Source[] } {
  const options: CompletionOption[] = []
  const values: Source[] = []
  for (const part of command.usage().match(/\[[^\]]*\]|\S+/g) ?? []) {
    const [word = '', value] = part.replaceAll(/[[\]]/g, '').split(' ')
    if (word.startsWith('--')) {
      const source: Source | undefined = value === undefined ? undefined : { from: 'nothing' }
      options.push({ flags: [word], summary: '', value: source })
    } else if (/^[a-z|-]+$/.test(word)) values.push({ from: 'words', words: word.split('|') })
    else values.push(sourceOf(word.toLowerCase(), undefined))
  }
  return { options, values }
}
