import { PassThrough, type Writable } from 'node:stream'
import { PlatformError } from '@nubo/base'
import type { ExecRequest, ExecStream, OutputChunk } from '../set-driver.ts'
import type { FakeExecution } from './fake-programs.ts'

/** An exec of the fake: nothing runs, but it reads, writes, ends and is ended like one. */
export class FakeExec implements ExecStream {
  readonly stdin: Writable | null
  readonly output: AsyncIterable<OutputChunk>
  readonly exitCode: Promise<number>
  readonly #input = new PassThrough()
  readonly #exit = Promise.withResolvers<number>()
  readonly #interrupt = Promise.withResolvers<number>()
  #isOver = false

  constructor(execution: FakeExecution, request: ExecRequest) {
    this.stdin = request.stdin === true ? this.#input : null
    if (this.stdin === null) this.#input.end()
    this.exitCode = this.#exit.promise
    this.exitCode.catch(() => {})
    this.output = this.#run(execution, request.tty === true)
  }

  async resize(): Promise<void> {}

  async signal(name: string): Promise<void> {
    if (!/^SIG[A-Z0-9]+$/.test(name))
      throw new PlatformError('INVALID_INPUT', { field: 'signal', value: name })
    if (name === 'SIGTERM' || name === 'SIGKILL' || name === 'SIGINT') this.#interrupt.resolve(137)
  }

  close(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#exit.reject(new PlatformError('NOT_ALLOWED_NOW', {}, { message: 'the exec was closed' }))
    this.#interrupt.resolve(137)
    this.#input.destroy()
  }

  async *#run(
    execution: FakeExecution,
    hasTty: boolean,
  ): AsyncGenerator<OutputChunk, void, undefined> {
    try {
      let exitCode = 0
      switch (execution.does) {
        case 'end':
          exitCode = execution.exitCode
          for (const { stream, bytes } of execution.prints)
            yield { stream: hasTty ? 'stdout' : stream, bytes }
          break
        case 'echo-input':
          // Proven: no encoding is set on it, so its chunks are Buffers.
          for await (const bytes of this.#input as AsyncIterable<Buffer>)
            yield { stream: 'stdout', bytes }
          break
        case 'hang':
          exitCode = await this.#interrupt.promise
      }
      if (this.#isOver) return
      this.#isOver = true
      this.#exit.resolve(exitCode)
    } catch (error) {
      // Closing destroys the input under the loop above.
      if (!this.#isOver) throw error
    } finally {
      this.close()
    }
  }
}
