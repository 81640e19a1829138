/** What a lab must remember over restarts. Written whole, so it is never half. */
import { chmodSync, existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { PlatformError } from '@nubo/base'
import { z } from 'zod'
import { readIfThere, writeJson } from './files.ts'
import { isOwnEntry, type LabHome } from './home.ts'

export const HOSTS_MAX = 100
// Each new file system of a disk has it.
const LOST_AND_FOUND = 'lost+found'
const port = z.int().min(1).max(65_535)

export const labHost = z.strictObject({
  name: z.string().regex(/^h[1-9][0-9]{0,2}$/),
  zone: z.string(),
  rack: z.string(),
  /** Whether its agent has its certificate. */
  joined: z.boolean(),
})
export type LabHost = z.infer<typeof labHost>

const labState = z.strictObject({
  version: z.literal(1),
  /** Which /24 of the underlay's range is ours. */
  underlayIndex: z.int().min(0).max(255),
  ports: z.strictObject({
    /** One for each server process. */
    api: z.tuple([port, port]),
    hostContract: z.tuple([port, port]),
    registry: port,
  }),
  hosts: z.array(labHost).max(HOSTS_MAX),
  /** An external PostgreSQL instead of our own. */
  databaseUrl: z.string().optional(),
})
export type LabState = z.infer<typeof labState>

/** Undefined if there never was a lab here. Throws SETUP_FAILED for a file that cannot be understood. */
export function readState(home: LabHome): LabState | undefined {
  const text = readIfThere(home.stateFile)
  if (text === undefined) return undefined
  try {
    return labState.parse(JSON.parse(text))
  } catch (cause) {
    throw new PlatformError(
      'SETUP_FAILED',
      {
        path: home.stateFile,
        next: 'run `nubo down --purge` to start anew, or use the version that wrote it',
      },
      { message: `The state of the cloud in ${home.folder} cannot be read.`, cause },
    )
  }
}

export function writeState(home: LabHome, state: LabState): void {
  writeJson(home.stateFile, labState.parse(state), 0o600)
}

/**
 * Makes the folder of a new lab. An existing one must be empty or a lab already: `down --purge` removes all of it,
 * so it must never be a folder that somebody uses for something else.
 */
export function makeHome(home: LabHome): void {
  // The mode of mkdir is cut by the caller's umask, and the database's account must be able to pass.
  if (mkdirSync(home.folder, { recursive: true }) !== undefined) chmodSync(home.folder, 0o711)
  requireLabHome(home)
}

/**
 * Throws INVALID_INPUT for an existing folder that is not a lab, or that others than we can change: whoever can put
 * files there could choose the keys and the database of the cloud, and what `down` removes.
 */
export function requireLabHome(home: LabHome): void {
  if (!existsSync(home.folder)) return
  const refuse = (message: string, next: string): PlatformError =>
    new PlatformError(
      'INVALID_INPUT',
      { field: 'NUBO_HOME', value: home.folder, next },
      { message },
    )
  const { uid, mode } = statSync(home.folder)
  if (uid !== process.getuid?.() || (mode & 0o022) !== 0)
    throw refuse(
      `${home.folder} can be changed by other users, so it cannot be the home of a cloud.`,
      `chown root ${home.folder} && chmod go-w ${home.folder}, or choose another folder`,
    )
  if (isLabHome(home)) return
  throw refuse(
    `${home.folder} holds other files (${readdirSync(home.folder).slice(0, 3).join(', ')} …) and is no cloud of Nubo.`,
    'choose an empty or a new folder',
  )
}

/** Removes what is the lab's, and its folder, unless other things lie in it or it is a mounted disk. Idempotent. */
export function purgeHome(home: LabHome): void {
  if (!existsSync(home.folder)) return
  for (const name of readdirSync(home.folder).filter(isOwnEntry))
    rmSync(join(home.folder, name), { recursive: true, force: true })
  try {
    rmdirSync(home.folder)
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
    if (code !== 'EBUSY' && code !== 'ENOTEMPTY') throw cause
  }
}

/** Whether everything in the folder is ours. A first start that failed early leaves its log, but no state. */
export function isLabHome(home: LabHome): boolean {
  if (!existsSync(home.folder)) return false
  if (existsSync(home.stateFile)) return true
  return readdirSync(home.folder).every((name) => ['log', 'run', LOST_AND_FOUND].includes(name))
}
