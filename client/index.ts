export { createClient, type Client, type ClientOptions } from './client.ts'
export {
  ApiError,
  ContractError,
  isApiError,
  OutcomeUnknownError,
  StreamError,
  UnreachableError,
  type FailedAttempt,
} from './errors.ts'
export { type LogOutput } from './log-stream.ts'
export { hasEnded, type WaitOptions } from './operations.ts'
export {
  type CallArguments,
  type CallName,
  type CallOptions,
  type CallReply,
  type CallRequest,
  type Calls,
  type ListItem,
  type ListName,
  type ListQuery,
} from './routes.ts'
export { parseServer } from './servers.ts'
export { type StreamConnection, type StreamEnd, type StreamSignal } from './stream-connection.ts'
export { type StreamChunk } from './stream-frames.ts'
export { type CallTrace } from './transport.ts'
export { type Upload, type UploadOptions } from './upload.ts'
export { type WatchOptions, type WatchQuery } from './watch.ts'
