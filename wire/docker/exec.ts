import type { Duplex, Writable } from 'node:stream'
import { Fields } from './fields.ts'
import { decodeOutput, type OutputChunk } from './frames.ts'
import { DockerError } from './errors.ts'
import type { CallOptions, Transport } from './transport.ts'

export interface ExecRequest {
  readonly command: readonly string[]
  readonly hasTty?: boolean
  /** Without it the process gets /dev/null as stdin. */
  readonly hasStdin?: boolean
  readonly env?: readonly string[]
  readonly workingDir?: string
  readonly user?: string
}

export interface ExecState {
  readonly isRunning: boolean
  /** Null while it runs, or if it never ran. */
  readonly exitCode: number | null
  /** Host pid, or null if it does not run. */
  readonly pid: number | null
}

/** A running exec. Output ends when every process that holds it has closed it. */
export interface ExecConnection {
  /** Writes to the process. `end()` closes its stdin and leaves the output open. */
  readonly stdin: Writable
  /** To be iterated once. Leaving the loop closes the connection, but does not end the process. */
  readonly output: AsyncIterable<OutputChunk>
  /** Closes the connection. Idempotent. */
  close(): void
}

export class Execs {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** `POST /containers/{id}/exec`: `not_found`, or `conflict` if the container does not run. */
  async create(containerId: string, request: ExecRequest, options?: CallOptions): Promise<string> {
    const answer = await this.#transport.json(
      {
        method: 'POST',
        path: `/containers/${encodeURIComponent(containerId)}/exec`,
        json: {
          Cmd: request.command,
          Tty: request.hasTty === true,
          AttachStdin: request.hasStdin === true,
          AttachStdout: true,
          AttachStderr: true,
          Env: request.env ?? [],
          WorkingDir: request.workingDir ?? '',
          User: request.user ?? '',
        },
      },
      options,
    )
    return new Fields(answer, 'exec').string('Id')
  }

  /** `POST /exec/{id}/start`, once per exec. The caller's signal closes the connection also later. */
  async start(
    id: string,
    options: CallOptions & { readonly hasTty?: boolean },
  ): Promise<ExecConnection> {
    const { hasTty, ...callOptions } = options
    const socket = await this.#transport.upgrade(
      {
        method: 'POST',
        path: `/exec/${encodeURIComponent(id)}/start`,
        json: { Detach: false, Tty: hasTty === true },
        headers: { connection: 'Upgrade', upgrade: 'tcp' },
      },
      callOptions,
    )
    return connectionOf(socket, hasTty === true)
  }

  /** `POST /exec/{id}/resize`. Fails while the process has not begun. */
  async resize(
    id: string,
    size: { columns: number; rows: number },
    options?: CallOptions,
  ): Promise<void> {
    await this.#transport.text(
      {
        method: 'POST',
        path: `/exec/${encodeURIComponent(id)}/resize`,
        query: { w: size.columns, h: size.rows },
      },
      options,
    )
  }

  /** `GET /exec/{id}/json`. Idempotent. The exit code may come a moment after the output's end. */
  async inspect(id: string, options?: CallOptions): Promise<ExecState> {
    const answer = await this.#transport.json(
      { method: 'GET', path: `/exec/${encodeURIComponent(id)}/json` },
      options,
    )
    const fields = new Fields(answer, 'exec')
    const isRunning = fields.boolean('Running')
    const pid = fields.optionalNumber('Pid')
    return {
      isRunning,
      exitCode: isRunning ? null : fields.optionalNumber('ExitCode'),
      pid: isRunning && pid !== null && pid > 0 ? pid : null,
    }
  }
}

function connectionOf(socket: Duplex, hasTty: boolean): ExecConnection {
  // Whoever reads the output gets the error; without a reader nobody must die of it.
  socket.on('error', () => {})
  return {
    stdin: socket,
    output: decodeOutput(outputOf(socket), { tty: hasTty }),
    close: () => {
      socket.destroy()
    },
  }
}

async function* outputOf(socket: Duplex): AsyncGenerator<Buffer, void, undefined> {
  try {
    // Proven: no encoding is set on the socket, so its chunks are Buffers.
    for await (const chunk of socket as AsyncIterable<Buffer>) yield chunk
  } catch (cause) {
    if (cause instanceof DockerError) throw cause
    throw new DockerError('unreachable', 'exec: the connection broke', { cause })
  } finally {
    socket.destroy()
  }
}
