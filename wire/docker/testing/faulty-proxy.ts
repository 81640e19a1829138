import http from 'node:http'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'

/** Stands between a client and an engine, and cuts the connection where a test says. */
export interface FaultyProxy {
  readonly socketPath: string
  /** Requests since the last `cut` or `mend`. */
  readonly requests: number
  /**
   * Lets `count` requests pass and cuts every one after them. With `loseLastAnswer` the last that passes is carried
   * out, but its answer is lost: what a client sees that is killed at that moment, or whose engine is.
   */
  cut(count: number, loseLastAnswer: boolean): void
  /** Lets everything pass. */
  mend(): void
  close(): Promise<void>
}

/** Short calls only: streams that are upgraded do not pass. */
export async function startFaultyProxy(enginePath: string): Promise<FaultyProxy> {
  const home = await mkdtemp(path.join(tmpdir(), 'ntx'))
  const socketPath = path.join(home, 's')
  let requests = 0
  let limit = Infinity
  let losesLastAnswer = false
  const server = http.createServer((request, response) => {
    requests += 1
    const isLast = requests === limit && losesLastAnswer
    if (requests > limit) {
      request.socket.destroy()
      return
    }
    const { method, url, headers } = request
    const onward = http.request(
      { socketPath: enginePath, method, path: url, headers },
      (answer) => {
        if (isLast) {
          answer.resume()
          answer.once('end', () => request.socket.destroy())
          return
        }
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(response)
      },
    )
    onward.once('error', () => request.socket.destroy())
    request.pipe(onward)
  })
  await new Promise<void>((resolve) => server.listen(socketPath, resolve))
  return {
    socketPath,
    get requests() {
      return requests
    },
    cut: (count, loseLastAnswer) => {
      requests = 0
      limit = count
      losesLastAnswer = loseLastAnswer
    },
    mend: () => {
      requests = 0
      limit = Infinity
    },
    close: async () => {
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
      await rm(home, { recursive: true, force: true })
    },
  }
}
