/** Folders that are made once and then only read, under names that tell what went into them. */
import {
  chmod,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { findProcess } from '@nubo/runtime/process'

// Beside each entry its files and their sizes; written last, so that it is there only if all is.
const RECORD = 'entry.json'
const BUILDING = '.building-'
// Of one kind; what was made before those goes when another one is made.
const ENTRIES_MAX = 8
// Two more than the builders that one can lose against: another process makes the entry, and a third finds it damaged.
const RENAME_ATTEMPTS_MAX = 3

export interface CacheKey {
  /** What it is: the beginning of its name, up to the first `_`. */
  readonly kind: string
  /** Of what it was made; must tell apart whatever makes a difference. */
  readonly version: string
  /** A sum over what was done with that. */
  readonly recipe: string
}

export const nameOf = ({ kind, version, recipe }: CacheKey): string =>
  `${kind}_${version.replaceAll(/[^A-Za-z0-9.-]/g, '-')}_${recipe}`

/**
 * The folder of the entry with this key, made by `make` if it is not there: it gets an empty folder and fills it with files (no
 * folders). Safe for several callers and processes at once: each makes its own and the first counts. What was begun and
 * not ended, by a process that was killed, never counts and is taken away by the next that makes something.
 */
export async function cached(
  folder: string,
  key: CacheKey,
  make: (into: string) => Promise<void>,
): Promise<string> {
  const path = join(folder, nameOf(key))
  if (await isWhole(path)) return path
  await withScratch(folder, async (building) => {
    await make(building)
    await seal(building)
    await publish(building, path)
  })
  await removeOldest(folder, key.kind)
  return path
}

/**
 * Gives `use` an empty folder beside the entries that is gone afterwards. What a killed process has left goes as well, here. All
 * users must see each other's processes: of another PID namespace, they would look killed.
 */
export async function withScratch<Result>(
  folder: string,
  use: (scratch: string) => Promise<Result>,
): Promise<Result> {
  await mkdir(folder, { recursive: true })
  await removeAbandoned(folder)
  const scratch = await mkdtemp(join(folder, `${BUILDING}${ownIdentity()}-`))
  try {
    return await use(scratch)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

/** Versions of which there is an entry of this kind and recipe, the highest first. */
export async function cachedVersions(
  folder: string,
  { kind, recipe }: Omit<CacheKey, 'version'>,
): Promise<string[]> {
  const [before, after] = [`${kind}_`, `_${recipe}`]
  const versions: string[] = []
  for (const name of await list(folder)) {
    if (!name.startsWith(before) || !name.endsWith(after)) continue
    if (await isWhole(join(folder, name))) versions.push(name.slice(before.length, -after.length))
  }
  const { compare } = new Intl.Collator('en', { numeric: true })
  return versions.toSorted((a, b) => compare(b, a))
}

/** Whether all files of an entry are there in their sizes: a machine that lost power can leave shorter ones. */
async function isWhole(path: string): Promise<boolean> {
  try {
    const record: unknown = JSON.parse(await readFile(join(path, RECORD), 'utf8'))
    if (typeof record !== 'object' || record === null) return false
    for (const [name, size] of Object.entries(record)) {
      if ((await stat(join(path, name))).size !== size) return false
    }
    return true
  } catch (cause) {
    if (cause instanceof SyntaxError || isErrno(cause, 'ENOENT', 'ENOTDIR')) return false
    throw cause
  }
}

async function seal(path: string): Promise<void> {
  const sizes: Record<string, number> = {}
  for (const name of (await readdir(path)).toSorted()) {
    const file = await open(join(path, name), 'r')
    try {
      sizes[name] = (await file.stat()).size
      await file.sync()
      // Disks of machines are overlays or copies; whoever writes to these by mistake should hear of it.
      await file.chmod(0o444)
    } finally {
      await file.close()
    }
  }
  await writeFile(join(path, RECORD), `${JSON.stringify(sizes, null, 2)}\n`, { flush: true })
  // Machines may run as another account.
  await chmod(path, 0o755)
}

async function publish(building: string, path: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await rename(building, path)
    } catch (cause) {
      if (!isErrno(cause, 'ENOTEMPTY', 'EEXIST') || attempt === RENAME_ATTEMPTS_MAX) throw cause
      // Somebody was faster; theirs is as good.
      if (await isWhole(path)) return
      // Damaged. In one step out of the way, so that nobody finds half of it.
      const away = `${building}-damaged`
      await rename(path, away)
      await rm(away, { recursive: true, force: true })
    }
  }
}

async function removeAbandoned(folder: string): Promise<void> {
  for (const name of await list(folder)) {
    if (!name.startsWith(BUILDING)) continue
    const [pid = '', startTicks = ''] = name.slice(BUILDING.length).split('-')
    if (findProcess(Number(pid))?.startTicks === startTicks) continue
    // A program that it had started may still be writing there.
    await rm(join(folder, name), { recursive: true, force: true, maxRetries: 5 })
  }
}

async function removeOldest(folder: string, kind: string): Promise<void> {
  const found: { path: string; madeMs: number }[] = []
  for (const name of await list(folder)) {
    if (!name.startsWith(`${kind}_`)) continue
    const path = join(folder, name)
    const madeMs = await stat(path).then(
      ({ mtimeMs }) => mtimeMs,
      () => Number.POSITIVE_INFINITY, // another process has just taken it away
    )
    found.push({ path, madeMs })
  }
  const oldest = found.toSorted((a, b) => b.madeMs - a.madeMs).slice(ENTRIES_MAX)
  for (const { path } of oldest) await rm(path, { recursive: true, force: true })
}

/** A process, and not another one that got its number later. */
function ownIdentity(): string {
  const found = findProcess(process.pid)
  if (found === undefined) throw new Error('/proc does not show this process')
  return `${found.pid}-${found.startTicks}`
}

async function list(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (cause) {
    if (isErrno(cause, 'ENOENT')) return []
    throw cause
  }
}

function isErrno(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}
