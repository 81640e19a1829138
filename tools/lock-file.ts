/** The part of npm's lock file (version 3) that completing it needs. */
export interface Lock {
  packages: Record<string, LockedPackage>
}

interface LockedPackage {
  version?: string
  dev?: boolean
  optional?: boolean
  os?: string[]
  cpu?: string[]
  optionalDependencies?: Record<string, string>
}

const systems = [
  'aix',
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
]
const processors = [
  'arm',
  'arm64',
  'ia32',
  'loong64',
  'mips64el',
  'ppc64',
  'riscv64',
  's390x',
  'x64',
]

/** Adds missing optional packages of exact version whose names tell their platform. Returns the names added. */
export function completeLock(lock: Lock): string[] {
  const added: string[] = []
  for (const [path, holder] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(holder.optionalDependencies ?? {})) {
      const isThere = [`node_modules/${name}`, `${path}/node_modules/${name}`].some(
        (at) => lock.packages[at] !== undefined,
      )
      const platform = platformOf(name)
      if (isThere || platform === undefined || !/^\d/.test(version)) continue
      lock.packages[`node_modules/${name}`] = {
        version,
        cpu: [platform.cpu],
        ...(holder.dev === true ? { dev: true } : {}),
        optional: true,
        os: [platform.os],
      }
      added.push(`${name}@${version}`)
    }
  }
  lock.packages = Object.fromEntries(
    // The order in which npm writes them, so that a later `npm install` changes nothing.
    Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, 'en')),
  )
  return added
}

/** '@scope/binding-linux-arm64-gnu' → linux, arm64. */
function platformOf(name: string): { os: string; cpu: string } | undefined {
  const words = name.slice(name.indexOf('/') + 1).split('-')
  const os = words.find((word) => systems.includes(word))
  const cpu = words.find((word) => processors.includes(word))
  return os === undefined || cpu === undefined ? undefined : { os, cpu }
}
