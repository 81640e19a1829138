import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { readSource, type SourceFile } from './source-file.ts'

/** What the rules need of a package.json. */
export interface Manifest {
  readonly name: string
  /** Path of the entry in `exports` → file. */
  readonly exports: ReadonlyMap<string, string>
  readonly dependencies: ReadonlySet<string>
}

export interface Tree {
  readonly files: readonly SourceFile[]
  /** By the folder of the package. */
  readonly packages: ReadonlyMap<string, Manifest>
  has(path: string): boolean
  /** The folder of the package that a file lies in. */
  packageOf(path: string): string | undefined
}

const skipped = /(^|\/)(node_modules|\.git|\.cache)$|^tests\/architecture\/planted$/

/** Reads a checkout, or what looks like one. Every source file counts, whatever its place. */
export function readTree(top: string): Tree {
  const list = (pattern: string): string[] =>
    globSync(pattern, { cwd: top, exclude: (path) => skipped.test(path) }).toSorted()
  const read = (path: string): string => readFileSync(join(top, path), 'utf8')
  // Other endings are read too, so that a rule can say that they are not used.
  const paths = list('**/*.{ts,mts,cts,tsx,js,mjs,cjs,jsx}')
  const files = paths.map((path) => {
    try {
      return readSource(path, read(path))
    } catch (cause) {
      throw new Error(`${path} cannot be read as TypeScript`, { cause })
    }
  })
  const manifests = list('*/**/package.json').map(
    (path) => [dirname(path), readManifest(read(path))] as const,
  )
  const packages = new Map(manifests)
  const known = new Set([...paths, ...list('**/*.json')])
  return {
    files,
    packages,
    has: (path) => known.has(path),
    packageOf: (path) => {
      for (let at = dirname(path); at !== '.'; at = dirname(at)) if (packages.has(at)) return at
      return undefined
    },
  }
}

function readManifest(text: string): Manifest {
  // proof: npm's documented format; fields that are absent or other are treated as empty
  const json = JSON.parse(text) as {
    name?: string
    exports?: Record<string, string>
    dependencies?: Record<string, string>
    devDependencies?: Record<string, string>
  }
  return {
    name: json.name ?? '',
    exports: new Map(Object.entries(json.exports ?? {})),
    dependencies: new Set(Object.keys({ ...json.dependencies, ...json.devDependencies })),
  }
}
