import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { loginFile, saveLogin, type Login } from '../config.ts'
import type { CommandContext } from '../context.ts'
import { FileError, UsageError, whyFile } from '../errors.ts'
import { renderFields } from '../output/table.ts'
import type { Surroundings } from '../surroundings.ts'

const TOKEN_CHARS_MAX = 4_096

export function defineLogin(login: Command, context: CommandContext): void {
  login
    .description(
      'check a token against a cloud and remember both; --project makes it the usual project',
    )
    .option('--token-stdin', 'read the token from the input')
    .action((options: { tokenStdin?: true }) => logIn(context, options.tokenStdin === true))
}

async function logIn(context: CommandContext, fromStdin: boolean): Promise<void> {
  const { surroundings, options } = context
  const servers = options.server
  if (servers === undefined) {
    throw new UsageError(
      'Which cloud? Name a server of it.',
      'nubo login --server http://127.0.0.1:7480 --token-stdin',
    )
  }
  const token = (await askToken(surroundings, fromStdin, options.tokenFile)).trim()
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new UsageError('The token is empty or holds characters that no token has.')
  }
  const client = await context.connectTo({ servers, token })
  const caller = await client.whoAmI()
  const login: Login = { servers, token, project: options.project }
  const path = loginFile(surroundings)
  try {
    saveLogin(path, login)
  } catch (cause) {
    throw new FileError(`${path} cannot be written: ${whyFile(cause)}.`, cause)
  }
  context.remark(`Logged in; remembered in ${path}.`)
  const project = options.project ?? caller.project?.name
  await context.printOne(caller, caller.token.name, () =>
    renderFields([
      ['region', caller.region],
      ['token', `${caller.token.name} (${caller.token.role})`],
      ['project', project ?? 'none: name one with --project'],
      ['server', `${caller.serverName}, version ${caller.version}`],
    ]),
  )
}

async function askToken(
  surroundings: Surroundings,
  fromStdin: boolean,
  tokenFile: string | undefined,
): Promise<string> {
  if (tokenFile !== undefined) {
    try {
      return readFileSync(tokenFile, 'utf8')
    } catch (cause) {
      throw new FileError(`${tokenFile} cannot be read: ${whyFile(cause)}.`, cause)
    }
  }
  const { stdin, stderr } = surroundings
  if (fromStdin) return readText(stdin)
  if (stdin.isTTY !== true) {
    throw new UsageError(
      'The token is asked for on a terminal only.',
      'pipe it: nubo login --server URL --token-stdin',
    )
  }
  stderr.write('Token (not shown): ')
  return readHidden(surroundings)
}

async function readText(stdin: Surroundings['stdin']): Promise<string> {
  let text = ''
  for await (const piece of stdin) {
    text += String(piece)
    if (text.length > TOKEN_CHARS_MAX) {
      throw new UsageError(`A token has at most ${TOKEN_CHARS_MAX} characters.`)
    }
  }
  return text
}

/** One line from the terminal without echo. */
async function readHidden({ stdin, stderr }: Surroundings): Promise<string> {
  stdin.setRawMode?.(true)
  let text = ''
  try {
    for await (const piece of stdin) {
      for (const char of String(piece)) {
        if (char === '\r' || char === '\n') return text
        if (char === '\u0003' || char === '\u0004') throw new UsageError('No token was given.')
        text = char === '\u007f' || char === '\b' ? text.slice(0, -1) : text + char
      }
      if (text.length > TOKEN_CHARS_MAX) throw new UsageError('That is too long for a token.')
    }
    return text
  } finally {
    stdin.setRawMode?.(false)
    stderr.write('\n')
  }
}
