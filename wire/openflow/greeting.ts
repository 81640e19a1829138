import type { Duplex } from 'node:stream'

import {
  writeSetAsync,
  writeSetConfig,
  writeSetPacketInFormat,
  type AsyncEvent,
} from './async-config.ts'
import { ByteWriter } from './bytes.ts'
import type { Channel } from './channel.ts'
import type { OpenFlowRemoteError } from './error-message.ts'
import {
  OpenFlowClosedError,
  OpenFlowDecodeError,
  OpenFlowTimeoutError,
  OpenFlowVersionError,
} from './errors.ts'
import { decodeFeatures, type SwitchFeatures } from './features.ts'
import { MessageSplitter } from './framing.ts'
import { negotiatedVersion, writeHello } from './hello.ts'
import { MESSAGE_TYPE, writeEmptyMessage, type Message } from './message.ts'
import type { Timers } from './timers.ts'
import type { OpenFlowVersion } from './version.ts'

export interface Waiting {
  readonly timers: Timers
  readonly timeoutMs: number
  readonly signal?: AbortSignal
}

export interface Greeting {
  readonly version: OpenFlowVersion
  /** Holds what came right behind the HELLO. */
  readonly splitter: MessageSplitter
}

/**
 * Waits for the peer's HELLO and agrees on a version. Ours goes out afterwards: Open vSwitch that reads a HELLO and a
 * request at once, before it has sent its own HELLO, lets the answer wait for 500 ms.
 * The stream is left paused; on failure it is destroyed.
 */
export async function greet(
  stream: Duplex,
  versions: readonly OpenFlowVersion[],
  { timers, timeoutMs, signal }: Waiting,
): Promise<Greeting> {
  const splitter = new MessageSplitter()
  const { promise, resolve, reject } = Promise.withResolvers<Message>()
  const onData = (chunk: Buffer): void => {
    try {
      for (const message of splitter.push(chunk)) {
        // Nobody listens until the channel does, so nothing may flow meanwhile.
        stream.pause()
        stream.off('data', onData)
        resolve(message)
        return
      }
    } catch (error) {
      reject(error)
    }
  }
  const onEnd = (): void => reject(new OpenFlowClosedError('closed before HELLO'))
  const onError = (cause: Error): void =>
    reject(new OpenFlowClosedError('the connection failed before HELLO', { cause }))
  const onAbort = (): void => reject(signal?.reason)
  const cancelTimer = timers.after(timeoutMs, () =>
    reject(new OpenFlowTimeoutError(`no HELLO within ${timeoutMs} ms`)),
  )
  stream.on('data', onData).on('end', onEnd).on('close', onEnd).on('error', onError)
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    signal?.throwIfAborted()
    return { splitter, version: agree(await promise, versions) }
  } catch (error) {
    // Destroying may still emit an error, which then is nobody's concern.
    stream.on('error', () => undefined)
    stream.destroy()
    throw error
  } finally {
    cancelTimer()
    signal?.removeEventListener('abort', onAbort)
    stream.off('data', onData).off('end', onEnd).off('close', onEnd).off('error', onError)
  }
}

function agree(hello: Message, versions: readonly OpenFlowVersion[]): OpenFlowVersion {
  if (hello.type !== MESSAGE_TYPE.hello) {
    throw new OpenFlowDecodeError(`the peer began with a message of type ${hello.type}, not HELLO`)
  }
  const version = negotiatedVersion(hello, versions)
  if (version === undefined) {
    throw new OpenFlowVersionError(
      `the peer's HELLO of version ${hello.version} offers none of ours (${versions.join(', ')})`,
    )
  }
  return version
}

/**
 * Says HELLO, asks what the switch is, and orders events, all in one write. Resolves when the switch has done all of it;
 * rejects with its refusal, OpenFlowTimeoutError or OpenFlowClosedError.
 */
export async function introduce(
  channel: Channel,
  wishes: { readonly versions: readonly OpenFlowVersion[]; readonly events: readonly AsyncEvent[] },
  { timeoutMs, signal }: Waiting,
): Promise<SwitchFeatures> {
  const waiting = { timeoutMs, ...(signal && { signal }) }
  const { version } = channel
  const firstXid = channel.takeXids(6)
  let refusal: OpenFlowRemoteError | undefined
  const onRefusal = (_index: number, error: OpenFlowRemoteError): void => {
    refusal ??= error
  }
  channel.watchRefusals({ firstXid, count: 4, onRefusal })
  const [featuresXid, barrierXid] = [firstXid + 4, firstXid + 5]
  const features = channel.expect(featuresXid, waiting, (message) => ({
    done: readFeatures(message),
  }))
  const finished = channel.expect(barrierXid, waiting, () => ({ done: undefined }))
  const writer = new ByteWriter()
  writeHello(writer, wishes.versions, firstXid)
  writeSetConfig(writer, { version, xid: firstXid + 1 })
  writeSetPacketInFormat(writer, { version, xid: firstXid + 2 })
  writeSetAsync(writer, wishes.events, { version, xid: firstXid + 3 })
  writeEmptyMessage(writer, { version, type: MESSAGE_TYPE.featuresRequest, xid: featuresXid })
  writeEmptyMessage(writer, { version, type: MESSAGE_TYPE.barrierRequest, xid: barrierXid })
  try {
    const answers = Promise.all([features, finished])
    answers.catch(() => undefined)
    channel.send(writer.finish())
    const [answer] = await answers
    if (refusal !== undefined) throw refusal
    return answer
  } finally {
    channel.watchRefusals(undefined)
  }
}

function readFeatures(message: Message): SwitchFeatures {
  if (message.type !== MESSAGE_TYPE.featuresReply) {
    throw new OpenFlowDecodeError(`message of type ${message.type} instead of features`)
  }
  return decodeFeatures(message.body)
}
