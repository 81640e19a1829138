/**
 * How benches start the server of a large region: as on a machine of its own, without the small heap that `nubo up` gives
 * those which share a machine with everything else. What `nubo up` starts is measured in its own cloud (at-rest.ts).
 */
import { busyNodeProgram, DIE_WITH_US, nodeEnvironment } from '@nubo/lab'
import { start, type RunningProgram } from '@nubo/runtime'

const MAIN = 'control-plane/main.ts'

/**
 * Starts a server process that ends with us. For whoever works on what a bench shows, more flags of Node:
 * NUBO_BENCH_NODE_FLAGS='--cpu-prof --cpu-prof-dir=FOLDER'.
 */
export function startServer(options: {
  configFile: string
  logFile: string
  cwd?: string
  /** More of Node's. */
  flags?: readonly string[]
}): RunningProgram {
  const { configFile, flags: asked = [], ...rest } = options
  const [node, ...words] = busyNodeProgram(MAIN, 'run', '--config', configFile)
  const script = words.findIndex((word) => word.endsWith(MAIN))
  // The last of equal flags counts.
  const flags = [
    ...asked,
    ...(process.env['NUBO_BENCH_NODE_FLAGS'] ?? '').split(' ').filter(Boolean),
  ]
  return start({
    argv: [...DIE_WITH_US, node, ...words.toSpliced(script, 0, ...flags)],
    env: nodeEnvironment(process.env['NODE_COMPILE_CACHE']),
    ...rest,
  })
}

/** The step before servers start. */
export function prepareProgram(configFile: string): ReturnType<typeof busyNodeProgram> {
  return busyNodeProgram(MAIN, 'prepare', '--config', configFile)
}
