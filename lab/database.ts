/** The PostgreSQL of a cloud as its supervisor runs it: started again by itself whenever it ends. */
import type { Clock, Random } from '@nubo/base'
import { PostgresServer, type Log, type PostgresServerOptions } from '@nubo/runtime'
import { lastLines, rotateLog } from './logs.ts'
import { SupervisedProgram } from './supervised.ts'

export interface SupervisedDatabase {
  readonly server: PostgresServer
  readonly program: SupervisedProgram
}

/** Nothing is started before `program.turnOn`. */
export function superviseDatabase(
  options: PostgresServerOptions & { clock: Clock; random: Random; log: Log },
): SupervisedDatabase {
  const { clock, random, log, ...ofServer } = options
  const server = new PostgresServer(ofServer)
  const program = new SupervisedProgram({
    name: 'postgres',
    start: async () => {
      rotateLog(options.logFile)
      await server.start()
      const { pid, exited } = server
      return { pid: pid ?? 0, exited, stop: (how) => server.stop(how) }
    },
    lastWords: () => lastLines(options.logFile),
    clock,
    random,
    log,
  })
  return { server, program }
}
