import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { newId } from '@nubo/base'
import { createClient, type Client } from '@nubo/client'
import type { Tables } from '@nubo/control-plane'
import { run, systemClock, systemRandom, type Database } from '@nubo/runtime'
import { sql } from 'kysely'
import { z } from 'zod'
import { openTestDatabase } from '../support/database.ts'
import { hostContractAddress } from '../support/region.ts'
import {
  presentServer,
  startServerProcess,
  writeServerConfig,
  type ServerProcess,
} from '../support/server-process.ts'
import { writeAsNext } from './next-release.ts'
import { unpackPreviousRelease } from './release.ts'

const SEALING_KEY_BYTES = 32
const JOIN_TIMEOUT_MS = 30_000
const ANSWER_TIMEOUT_MS = 10_000

export type Release = 'previous' | 'present'

const hostStatus = z.object({ server: z.string().nullable(), sets: z.array(z.string()) })

export interface MixedHost {
  readonly name: string
  readonly number: number
  readonly stateDir: string
  /** Which server it is connected to, and the ids of the sets that it has. */
  readonly status: () => Promise<z.infer<typeof hostStatus>>
  /** Ends its agent without warning. */
  readonly end: () => Promise<void>
}

/** A region whose servers and hosts are processes, each of the previous release or of this one. Ends with the test. */
export class MixedRegion {
  readonly folder: string
  readonly keyFile: string
  readonly databaseUrl: string
  readonly database: Database<Tables>
  readonly hostContracts: readonly string[] = [0, 1].map((index) =>
    hostContractAddress(index).join(':'),
  )
  readonly #closers: (() => Promise<void>)[] = []
  #hosts = 0

  private constructor(made: { folder: string; url: string; database: Database<Tables> }) {
    this.folder = made.folder
    this.databaseUrl = made.url
    this.database = made.database
    this.keyFile = join(made.folder, 'key')
    writeFileSync(this.keyFile, randomBytes(SEALING_KEY_BYTES), { mode: 0o600 })
    unpackPreviousRelease(join(made.folder, 'previous'))
    copyFileSync(
      new URL('./host-program.ts', import.meta.url).pathname,
      join(made.folder, 'previous', 'host-program.ts'),
    )
  }

  static async open(context: TestContext): Promise<MixedRegion> {
    const folder = mkdtempSync(join(tmpdir(), 'nt-'))
    let region: MixedRegion | undefined
    // Registered before the database's own hook, so that servers end before their database does.
    context.after(async () => {
      for (const close of region?.closers ?? []) await close()
      rmSync(folder, { recursive: true, force: true })
    })
    region = new MixedRegion({
      folder,
      ...(await openTestDatabase<Tables>(context, { migrated: false })),
    })
    return region
  }

  get closers(): readonly (() => Promise<void>)[] {
    return this.#closers.toReversed()
  }

  get operatorToken(): string {
    return readFileSync(join(this.folder, 'token'), 'utf8').trim()
  }

  onClose(close: () => Promise<void>): void {
    this.#closers.push(close)
  }

  /** Runs `prepare` of a release, as an operator does before its servers start. */
  async prepare(release: Release): Promise<void> {
    await run({
      argv: [
        process.execPath,
        this.#serverOf(release),
        'prepare',
        '--config',
        writeServerConfig(this, 0),
      ],
      timeoutMs: JOIN_TIMEOUT_MS,
    })
  }

  startServer(release: Release, index: number): Promise<ServerProcess> {
    return startServerProcess(this, index, { main: this.#serverOf(release) })
  }

  #serverOf(release: Release): string {
    return release === 'present'
      ? presentServer
      : join(this.folder, 'previous', 'control-plane', 'main.ts')
  }

  clientOf(urls: readonly string[], token: string): Client {
    return createClient({ servers: urls, token, clock: systemClock, random: systemRandom })
  }

  /** Invites a host and joins it with an agent of this release. */
  async joinHost(release: Release, operator: Client): Promise<MixedHost> {
    const number = ++this.#hosts
    const name = `${release}-${number}`
    const { token } = await operator.hostInvite({ body: { name } })
    const stateDir = join(this.folder, name)
    mkdirSync(stateDir, { mode: 0o700 })
    return {
      name,
      number,
      stateDir,
      ...(await this.#startAgent(release, { token, stateDir, number })),
    }
  }

  /** Ends the agent of a host at once and starts one of this release on the state that it leaves. */
  async upgradeHost(host: MixedHost): Promise<MixedHost> {
    await host.end()
    return { ...host, ...(await this.#startAgent('present', { token: '', ...host })) }
  }

  async #startAgent(
    release: Release,
    host: { token: string; stateDir: string; number: number },
  ): Promise<Pick<MixedHost, 'status' | 'end'>> {
    const program =
      release === 'present'
        ? new URL('./host-program.ts', import.meta.url).pathname
        : join(this.folder, 'previous', 'host-program.ts')
    const argv = [host.token, host.stateDir, `10.200.0.${host.number}`]
    const child = fork(program, argv, { stdio: 'inherit' })
    const exited = once(child, 'exit')
    const end = async (): Promise<void> => {
      child.kill('SIGKILL')
      await exited
    }
    this.onClose(end)
    await once(child, 'message', { signal: AbortSignal.timeout(JOIN_TIMEOUT_MS) })
    return {
      end,
      status: async () => {
        const answered = once(child, 'message', { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) })
        child.send('status')
        const [status] = (await answered) as unknown[] // proof: a list of what came with the event
        return hostStatus.parse(status)
      },
    }
  }

  /** An image of the project, as an import makes it: server processes of tests have no registry to import into. */
  async recordImage(projectId: string, name: string): Promise<void> {
    const id: string = newId<'image'>(systemClock, systemRandom)
    await writeAsNext(this.database, [{ kind: 'image', table: 'image', id }], async (tx) => {
      await sql`insert into image (id, project_id, name, repository, digest, size_bytes, layers, source, command, created_at_ms)
        values (${id}, ${projectId}, ${name}, ${`shop/${name}`}, ${`sha256:${'0'.repeat(64)}`}, 1000, 1, 'rootfs', '["sh"]', 1)`.execute(
        tx,
      )
    })
  }
}
