import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Argv } from '@nubo/runtime'

/** Top folder of the checkout that this lab runs from. */
const top = dirname(import.meta.dirname)

// A small young generation: these processes mostly wait, and many of them share a machine. Saves about 10 MB each.
const SMALL_HEAP = ['--max-semi-space-size=2']

// Each thread of a Node may otherwise keep freed memory of its own: 5 MB of a server that has taken in an image.
const FEW_ARENAS = { MALLOC_ARENA_MAX: '2' }

/** What programs started as `nodeProgram` says get to see besides; `compileCache` is where compiled code is kept. */
export function nodeEnvironment(compileCache: string | undefined): Record<string, string> {
  return {
    ...FEW_ARENAS,
    ...(compileCache === undefined ? {} : { NODE_COMPILE_CACHE: compileCache }),
  }
}

/** How a program of this checkout is started, with the Node that runs us. */
export function nodeProgram(path: string, ...args: readonly string[]): Argv {
  return [
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    ...SMALL_HEAP,
    join(top, path),
    ...args,
  ]
}

/** As `nodeProgram`, for a program that is always busy: room for what lives shortly saves it from collecting all the time. */
export function busyNodeProgram(path: string, ...args: readonly string[]): Argv {
  return [process.execPath, '--disable-warning=ExperimentalWarning', join(top, path), ...args]
}

/** Before the argv of what is started in the background: it ends with whoever started it, however that ends. */
export const DIE_WITH_US = ['setpriv', '--pdeathsig', 'KILL'] as const

/** The version of this checkout. */
export function ownVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(join(top, 'package.json'), 'utf8'))
  if (typeof manifest === 'object' && manifest !== null && 'version' in manifest)
    return String(manifest.version)
  return 'unknown'
}
