/** Which cloud is meant, and with which token: from flags, the environment, and two files. */
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { LoginError, whyFile } from './errors.ts'
import type { Surroundings } from './surroundings.ts'

const DEFAULT_NUBO_HOME = '/var/lib/nubo'
const LOGIN_NEXT = 'start a cloud here with `nubo up`, or: nubo login --server URL --token-stdin'

export interface LoginFlags {
  readonly server?: readonly string[] | undefined
  readonly tokenFile?: string | undefined
  readonly project?: string | undefined
}

export interface Login {
  readonly servers: readonly string[]
  readonly token: string
  /** Undefined: the token's own project. */
  readonly project: string | undefined
}

/** A place that may know servers, a token and a project; read only when it is asked. */
interface Source {
  readonly servers: readonly string[] | undefined
  readonly token: () => string | undefined
  /** The token goes to these servers only; undefined where somebody gave it by hand. */
  readonly tokenFor?: readonly string[]
  readonly project: string | undefined
}

/** ~/.config/nubo/login.json, or below XDG_CONFIG_HOME. */
export function loginFile({ env, homeFolder }: Surroundings): string {
  const configFolder = env['XDG_CONFIG_HOME'] ?? ''
  return join(
    configFolder === '' ? join(homeFolder, '.config') : configFolder,
    'nubo',
    'login.json',
  )
}

/**
 * Flags win over the environment (NUBO_SERVERS, NUBO_TOKEN, NUBO_PROJECT), this over the login file, this over the
 * cloud of this machine (cli.json in NUBO_HOME). Only a NUBO_HOME that is set on purpose comes before the login file.
 * Throws LoginError.
 */
export function findLogin(surroundings: Surroundings, flags: LoginFlags): Login {
  const { env } = surroundings
  const homeIsSet = (env['NUBO_HOME'] ?? '') !== ''
  const ofMachine = fileSource(
    join(homeIsSet ? (env['NUBO_HOME'] ?? '') : DEFAULT_NUBO_HOME, 'cli.json'),
  )
  const ofLogin = fileSource(loginFile(surroundings))
  const files = homeIsSet ? [ofMachine, ofLogin] : [ofLogin, ofMachine]
  const sources = [() => flagSource(flags), () => environmentSource(env), ...files]

  const found: { servers?: readonly string[]; token?: string; project?: string } = {}
  for (const open of sources) {
    const source = open()
    if (found.project === undefined && source?.project !== undefined) found.project = source.project
    if (found.servers === undefined && source?.servers !== undefined) found.servers = source.servers
    const token = found.token ?? (mayHave(found.servers, source) ? source?.token() : undefined)
    if (token !== undefined) found.token = token
    if (found.servers !== undefined && found.token !== undefined) break
  }
  if (found.servers === undefined) throw new LoginError('No cloud is known here.', LOGIN_NEXT)
  if (found.token === undefined) {
    throw new LoginError(
      'There is no token for this cloud.',
      'nubo login --server URL --token-stdin',
    )
  }
  return { servers: found.servers, token: found.token, project: found.project }
}

/** A saved token must not be sent to a server that it was not saved for. */
function mayHave(servers: readonly string[] | undefined, source: Source | undefined): boolean {
  const saved = source?.tokenFor?.map(withoutSlash)
  return (
    saved === undefined || (servers ?? []).every((server) => saved.includes(withoutSlash(server)))
  )
}

function withoutSlash(server: string): string {
  return server.replace(/\/+$/, '')
}

function flagSource(flags: LoginFlags): Source {
  const { tokenFile } = flags
  return {
    servers: flags.server,
    token: () => (tokenFile === undefined ? undefined : readToken(tokenFile)),
    project: flags.project,
  }
}

function environmentSource(env: Surroundings['env']): Source {
  const servers = (env['NUBO_SERVERS'] ?? '').split(/[\s,]+/).filter((server) => server !== '')
  return {
    servers: servers.length === 0 ? undefined : servers,
    token: () => nonEmpty(env['NUBO_TOKEN']),
    project: nonEmpty(env['NUBO_PROJECT']),
  }
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text.trim() === '' ? undefined : text.trim()
}

/** A file that is not there knows nothing; one that cannot be read or understood is an error. */
function fileSource(path: string): () => Source | undefined {
  return () => {
    const text = readIfThere(path)
    if (text === undefined) return undefined
    const login = parseLoginFile(path, text)
    const { token, tokenFile } = login
    return {
      servers: login.servers,
      token: () => token ?? (tokenFile === undefined ? undefined : readToken(tokenFile)),
      tokenFor: login.servers ?? [],
      project: login.project,
    }
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    const code = errorCode(cause)
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw unreadable(path, cause)
  }
}

function unreadable(path: string, cause: unknown): LoginError {
  return new LoginError(
    `${path} cannot be read: ${whyFile(cause)}.`,
    'run as root to use the cloud of this machine, or: nubo login --server URL --token-stdin',
    cause,
  )
}

function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}

function readToken(path: string): string {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw unreadable(path, cause)
  }
  const token = nonEmpty(text)
  if (token === undefined) throw new LoginError(`${path} is empty.`, LOGIN_NEXT)
  return token
}

interface LoginFile {
  readonly servers?: readonly string[]
  readonly token?: string
  readonly tokenFile?: string
  readonly project?: string
}

function parseLoginFile(path: string, text: string): LoginFile {
  const broken = (what: string): LoginError =>
    new LoginError(
      `${path} is not a login file: ${what}.`,
      'remove it, and log in again: nubo login',
    )
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    throw broken('it is not JSON')
  }
  if (typeof body !== 'object' || body === null) throw broken('it is not an object')
  const fields = body as Record<string, unknown> // proof: a non-null object
  const { servers } = fields
  if (servers !== undefined && !isListOfText(servers))
    throw broken('servers is not a list of texts')
  for (const key of ['token', 'tokenFile', 'project']) {
    if (fields[key] !== undefined && typeof fields[key] !== 'string') {
      throw broken(`${key} is not a text`)
    }
  }
  return fields as LoginFile // proof: each field was checked just now
}

function isListOfText(value: unknown): value is string[] {
  return Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === 'string')
}

/** Writes the login file, readable by its owner only; a crash leaves the old one. */
export function saveLogin(path: string, login: Login): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const { servers, token, project } = login
  const body = project === undefined ? { servers, token } : { servers, token, project }
  const temporary = `${path}.new`
  writeFileSync(temporary, `${JSON.stringify(body, undefined, 2)}\n`, { mode: 0o600 })
  // The mode above counts only for a new file.
  chmodSync(temporary, 0o600)
  renameSync(temporary, path)
}
