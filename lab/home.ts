/** Where everything of one lab lies, and the short id that all its names on the machine begin with. */
import { createHash } from 'node:crypto'
import { existsSync, realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { PlatformError } from '@nubo/base'

export const DEFAULT_HOME = '/var/lib/nubo'
// The longest socket below it is run/h100/containerd.sock.ttrpc; Linux allows 107 bytes for a socket's path.
const HOME_BYTES_MAX = 70
/** What is ours right below a home. Purging takes no more, for somebody may have put other things there since. */
const OWN_ENTRY =
  /^((state|cli)\.json(\.new)?|log|run|secrets|postgres|registry|server-[a-z0-9]+|h[1-9][0-9]{0,2})$/
/** Names of links have at most 15 characters; the longest is `<id>-mgmt`. */
const HASH_CHARACTERS = 4

export interface HostFolders {
  /** What outlives a power cut: like the disk of a server. */
  disk: string
  agentState: string
  /** Where the agent and the lease guard meet. */
  guard: string
  docker: string
  containerd: string
  switchDatabase: string
  /** What does not: like /run of a server. */
  run: string
  dockerSocket: string
  containerdSocket: string
  switchSocket: string
  agentConfig: string
  bootIdFile: string
}

export interface LabHome {
  folder: string
  id: string
  stateFile: string
  log: string
  run: string
  socket: string
  secrets: string
  operatorTokenFile: string
  caFile: string
  postgres: string
  postgresRun: string
  registryStorage: string
  registryConfig: string
  cliConfig: string
  serverConfig(server: string): string
  serverData(server: string): string
  logOf(program: string): string
  host(name: string): HostFolders
}

/** Throws INVALID_INPUT for a folder that cannot hold a lab. `folder` is absolute and normal (path.resolve). */
export function labHome(folder: string): LabHome {
  const problem =
    folder === '/' || !folder.startsWith('/')
      ? 'it must be an absolute path, and not the root'
      : Buffer.byteLength(folder) > HOME_BYTES_MAX
        ? `it must not be longer than ${HOME_BYTES_MAX} bytes, or the paths of sockets in it get too long`
        : /^[A-Za-z0-9._/-]+$/.test(folder)
          ? undefined
          : 'use only letters, digits, dots, dashes and underscores'
  if (problem !== undefined) {
    throw new PlatformError(
      'INVALID_INPUT',
      { field: 'NUBO_HOME', value: folder, next: 'set NUBO_HOME to another folder' },
      { message: `${folder} cannot be the home of a cloud: ${problem}` },
    )
  }
  const run = join(folder, 'run')
  const log = join(folder, 'log')
  const secrets = join(folder, 'secrets')
  return {
    folder,
    id: labId(folder),
    stateFile: join(folder, 'state.json'),
    log,
    run,
    socket: join(run, 'lab.sock'),
    secrets,
    operatorTokenFile: join(secrets, 'operator-token'),
    caFile: join(secrets, 'ca.pem'),
    postgres: join(folder, 'postgres'),
    postgresRun: join(run, 'pg'),
    registryStorage: join(folder, 'registry'),
    registryConfig: join(run, 'registry.yml'),
    cliConfig: join(folder, 'cli.json'),
    serverConfig: (server) => join(run, `server-${server}.json`),
    serverData: (server) => join(folder, `server-${server}`),
    logOf: (program) => join(log, `${program}.log`),
    host: (name) => hostFolders(folder, name),
  }
}

function hostFolders(home: string, name: string): HostFolders {
  const disk = join(home, name)
  const run = join(home, 'run', name)
  return {
    disk,
    agentState: join(disk, 'agent'),
    guard: join(disk, 'agent', 'guard'),
    docker: join(disk, 'docker'),
    containerd: join(disk, 'containerd'),
    switchDatabase: join(disk, 'switch.db'),
    run,
    dockerSocket: join(run, 'docker.sock'),
    containerdSocket: join(run, 'containerd.sock'),
    switchSocket: join(run, 'db.sock'),
    agentConfig: join(run, 'agent.json'),
    bootIdFile: join(run, 'boot-id'),
  }
}

export function isOwnEntry(name: string): boolean {
  return OWN_ENTRY.test(name)
}

/**
 * A folder by its one true name, also when it does not exist yet: the kernel tells mounts and processes without
 * symbolic links, and one folder under two names would be two clouds in each other's way. `folder` is absolute.
 */
export function realFolder(folder: string): string {
  if (existsSync(folder) || folder === '/') return realpathSync(folder)
  return join(realFolder(dirname(folder)), basename(folder))
}

/** 'nubo' for the default home, else 'nb' and four characters that follow from the path. */
function labId(folder: string): string {
  if (folder === DEFAULT_HOME || folder === realFolder(DEFAULT_HOME)) return 'nubo'
  const hash = BigInt(`0x${createHash('sha256').update(folder).digest('hex').slice(0, 16)}`)
  return `nb${hash.toString(36).slice(-HASH_CHARACTERS)}`
}
