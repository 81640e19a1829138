/**
 * What ends the program besides the errors of the client. Exit codes: 0 done, 1 failed, 2 usage, 3 not placed;
 * `set exec` gives the program's own.
 */
import type { Operation } from '@nubo/contracts'

export const exitCode = { done: 0, failed: 1, usage: 2, notPlaced: 3, interrupted: 130 } as const

/** The command line cannot be meant; nothing was asked of any server. */
export class UsageError extends Error {
  readonly next: string | undefined
  constructor(message: string, next?: string) {
    super(message)
    this.name = 'UsageError'
    this.next = next
  }
}

/** Which cloud, and as whom, cannot be told. */
export class LoginError extends Error {
  readonly next: string
  constructor(message: string, next: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause })
    this.name = 'LoginError'
    this.next = next
  }
}

/** 'there is no such file' and the like, for the error of a file system call. */
export function whyFile(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const known: Record<string, string> = {
    ENOENT: 'there is no such file',
    EACCES: 'permission denied',
    EISDIR: 'it is a folder',
    ENOSPC: 'the disk is full',
    EROFS: 'the file system is read-only',
  }
  return known[code] ?? (error instanceof Error ? error.message : String(error))
}

/** A file of the command line cannot be used. */
export class FileError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause })
    this.name = 'FileError'
  }
}

/** An operation ended otherwise than `done`. */
export class OperationFailedError extends Error {
  readonly operation: Operation
  /** Hosts that could not take the instance, and why. */
  readonly rejected: readonly { host: string; reason: string }[]
  constructor(operation: Operation, rejected: readonly { host: string; reason: string }[] = []) {
    super(operation.reason?.text ?? `The operation ended as ${operation.state}.`)
    this.name = 'OperationFailedError'
    this.operation = operation
    this.rejected = rejected
  }
}

/** A person stopped the waiting; the work goes on. */
export class InterruptedError extends Error {
  readonly next: string
  constructor(message: string, next: string) {
    super(message)
    this.name = 'InterruptedError'
    this.next = next
  }
}

/** No answer came to a create; `next` says what a look at the name has shown. */
export class CreateUnknownError extends Error {
  readonly next: string
  constructor(message: string, next: string, cause: unknown) {
    super(message, { cause })
    this.name = 'CreateUnknownError'
    this.next = next
  }
}
