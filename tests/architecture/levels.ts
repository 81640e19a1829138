/** The tree as data: which folder is on which level, and what each level may import. */

/**
 * Level → levels it may import besides itself. `wire/*` stands for every wire package; none imports another.
 * A NEW TOP FOLDER NEEDS A ROW HERE; without one every file in it is a violation.
 */
export const levels: Readonly<Record<string, readonly string[]>> = {
  base: [],
  contracts: ['base'],
  client: ['base', 'contracts'],
  runtime: ['base', 'contracts'],
  'wire/*': [],
  datapath: ['base', 'contracts', 'wire/*'],
  'control-plane': ['base', 'contracts', 'runtime', 'datapath', 'wire/*'],
  'host-agent': ['base', 'contracts', 'runtime', 'datapath', 'wire/*'],
  cli: ['base', 'contracts', 'client', 'guest'],
  // Only its tests know protocols: they start real machines.
  guest: ['base', 'runtime', 'wire/*'],
  // Starts processes and asks them; it never loads their code.
  lab: ['base', 'contracts', 'client', 'runtime', 'guest'],
  tools: ['base', 'contracts', 'runtime'],
  bench: ['base', 'contracts', 'client', 'runtime', 'datapath', 'wire/*', 'guest', 'lab'],
  // Integration tests and the simulation run whole processes inside themselves.
  tests:
    `base contracts client runtime datapath wire/* control-plane host-agent cli guest lab`.split(
      ' ',
    ),
}

/** The level of a file by its path; undefined if it lies on none. */
export function levelOf(path: string): string | undefined {
  const [top = '', second] = path.split('/')
  if (top === 'wire') return second?.includes('.') === false ? `wire/${second}` : undefined
  return path.includes('/') && Object.hasOwn(levels, top) ? top : undefined
}

export function mayImport(from: string, to: string): boolean {
  if (from === to) return true
  const allowed = levels[from.startsWith('wire/') ? 'wire/*' : from] ?? []
  return allowed.includes(to.startsWith('wire/') ? 'wire/*' : to)
}

/**
 * Domain → domains it may import. The order is identity → quota, audit (which nobody needs) → operations → fleet → images, network → placement → compute → apply;
 * images and network do not know each other.
 */
export const domains: Readonly<Record<string, readonly string[]>> = {
  identity: [],
  quota: ['identity'],
  audit: ['identity'],
  operations: ['identity'],
  fleet: ['identity', 'operations'],
  images: ['identity', 'operations', 'fleet'],
  network: ['identity', 'operations', 'fleet'],
  placement: ['identity', 'operations', 'fleet', 'images', 'network'],
  compute: ['identity', 'operations', 'fleet', 'images', 'network', 'placement'],
  apply: ['identity', 'operations', 'fleet', 'images', 'network', 'placement', 'compute'],
}

/** Part of the control plane → parts it may import. What lies at its top composes and may import every part. */
export const controlPlaneParts: Readonly<Record<string, readonly string[]>> = {
  world: [],
  domains: ['world'],
  'host-sessions': ['world', 'domains'],
  adapters: ['world', 'domains', 'host-sessions'],
  migrations: [],
}

/** Files that exist for tests: tests, what they share, and the suites that implementations must pass. */
export function isTestCode(path: string): boolean {
  return (
    /^(tests|bench)\//.test(path) ||
    /\.test\.ts$|\/testing\/|\/conformance(\/|\.ts$)|(^|\/)[a-z-]+-suite\.ts$/.test(path)
  )
}

/** Files that hand time, randomness and the environment to the others. */
export function isEntry(path: string): boolean {
  return /^(runtime|lab|tools)\/|^[a-z-]+\/(simulated\/)?main\.ts$/.test(path) || isTestCode(path)
}
