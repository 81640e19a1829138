import type { Fields } from '../fields.ts'
import { jobStates, jobTypes } from '../states.ts'
import type { QmpObject } from '../value.ts'
import { deed, listOf, question, questionAbout } from './command.ts'

/** `driver` is qcow2, raw, file, throttle, nbd …; the others are its own options, `file` a node's name or a node. */
export type BlockdevOptions = QmpObject & { readonly driver: string; readonly 'node-name': string }

export type SnapshotOptions = {
  /** Of the node that is overlaid. */
  readonly 'node-name'?: string
  readonly device?: string
  readonly 'snapshot-file': string
  readonly 'snapshot-node-name'?: string
  readonly format?: string
  readonly mode?: 'existing' | 'absolute-paths'
}

export type TransactionAction =
  | { readonly type: 'blockdev-snapshot-sync'; readonly data: SnapshotOptions }
  | {
      readonly type: 'blockdev-snapshot'
      readonly data: { readonly node: string; readonly overlay: string }
    }
  | {
      readonly type:
        | 'abort'
        | 'blockdev-backup'
        | 'block-dirty-bitmap-add'
        | 'block-dirty-bitmap-remove'
        | 'block-dirty-bitmap-clear'
        | 'block-dirty-bitmap-enable'
        | 'block-dirty-bitmap-disable'
        | 'block-dirty-bitmap-merge'
      readonly data: QmpObject
    }

type CommitOptions = {
  /** A name for the job; without one it is that of the device. */
  readonly 'job-id'?: string
  /** Device or node at the top of the chain. */
  readonly device: string
  readonly 'base-node'?: string
  readonly 'top-node'?: string
  readonly 'backing-file'?: string
  /** Bytes per second; 0 is no limit. */
  readonly speed?: number
  readonly 'on-error'?: 'report' | 'ignore' | 'enospc' | 'stop' | 'auto'
  readonly 'filter-node-name'?: string
  readonly 'auto-finalize'?: boolean
  readonly 'auto-dismiss'?: boolean
}

type SocketAddress =
  | {
      readonly type: 'inet'
      readonly data: { readonly host: string; readonly port: string }
    }
  | { readonly type: 'unix'; readonly data: { readonly path: string } }

export type ExportOptions = QmpObject & {
  readonly type: 'nbd' | 'vhost-user-blk' | 'fuse' | 'vduse-blk'
  readonly id: string
  readonly 'node-name': string
  readonly writable?: boolean
}

/** Disks (qapi/block-core.json, block.json, block-export.json, job.json, transaction.json). */
export const blockCommands = {
  'blockdev-add': deed<BlockdevOptions>(),
  /** Refused while something uses the node. */
  'blockdev-del': deed<{ readonly 'node-name': string }>(),
  'blockdev-snapshot-sync': deed<SnapshotOptions>(),
  /** All or nothing. */
  transaction: deed<{
    readonly actions: readonly TransactionAction[]
    readonly properties?: { readonly 'completion-mode': 'individual' | 'grouped' }
  }>(),
  /** `size` in bytes. The guest of a virtio disk sees it at once. Idempotent. */
  block_resize: deed<{
    readonly 'node-name'?: string
    readonly device?: string
    readonly size: number
  }>(),
  /** With `flat` each node without its chain of backing images. */
  'query-named-block-nodes': questionAbout<{ readonly flat?: boolean }>()(listOf(readBlockNode)),
  'query-block': question(
    listOf((fields) => {
      const inserted = fields.optionalObject('inserted')
      return {
        /** Empty for disks that were made with blockdev-add. */
        device: fields.string('device'),
        /** Id, or path, of the guest's device. */
        qdev: fields.optionalString('qdev'),
        inserted: inserted === null ? null : readBlockNode(inserted),
        ioStatus: fields.has('io-status')
          ? fields.oneOf('io-status', ['ok', 'failed', 'nospace'])
          : null,
      }
    }),
  ),
  'query-blockstats': questionAbout<{ readonly 'query-nodes'?: boolean }>()(listOf(readBlockStats)),
  'block-commit': deed<CommitOptions>(),
  'query-jobs': question(
    listOf((fields) => ({
      id: fields.string('id'),
      type: fields.oneOf('type', jobTypes),
      status: fields.oneOf('status', jobStates),
      currentProgress: fields.size('current-progress'),
      /** In units of its own, and it may grow. */
      totalProgress: fields.size('total-progress'),
      error: fields.optionalString('error'),
    })),
  ),
  'query-block-jobs': question(
    listOf((fields) => ({
      type: fields.oneOf('type', jobTypes),
      device: fields.string('device'),
      lengthBytes: fields.size('len'),
      offsetBytes: fields.size('offset'),
      speedBytesPerSecond: fields.size('speed'),
      isReady: fields.boolean('ready'),
      isPaused: fields.boolean('paused'),
      status: fields.oneOf('status', jobStates),
      error: fields.optionalString('error'),
    })),
  ),
  'job-complete': deed<{ readonly id: string }>(),
  'job-dismiss': deed<{ readonly id: string }>(),
  /** A mirror that is ready ends well, with its target as it is then, unless forced. */
  'block-job-cancel': deed<{ readonly device: string; readonly force?: boolean }>(),
  'nbd-server-start': deed<{
    readonly addr: SocketAddress
    readonly 'tls-creds'?: string
    readonly 'tls-authz'?: string
    readonly 'max-connections'?: number
  }>(),
  'nbd-server-stop': deed(),
  'block-export-add': deed<ExportOptions>(),
  /** The export is gone with the event BLOCK_EXPORT_DELETED. */
  'block-export-del': deed<{ readonly id: string; readonly mode?: 'safe' | 'hard' }>(),
}

function readBlockNode(fields: Fields) {
  const image = fields.object('image')
  return {
    nodeName: fields.optionalString('node-name'),
    driver: fields.string('drv'),
    filename: fields.string('file'),
    isReadOnly: fields.boolean('ro'),
    backingDepth: fields.size('backing_file_depth'),
    /** Of the image's header, which may be a lie of whoever made it. */
    virtualSizeBytes: image.size('virtual-size'),
    /** What it takes on the host, where that can be told. */
    actualSizeBytes: image.optionalSize('actual-size'),
    format: image.string('format'),
    backingFilename: image.optionalString('backing-filename'),
    throttleGroup: fields.optionalString('group'),
  }
}

/** Counters since QEMU was started; see `Fields.counter` for those beyond 2^53. */
function readBlockStats(fields: Fields) {
  const stats = fields.object('stats')
  return {
    device: fields.optionalString('device'),
    qdev: fields.optionalString('qdev'),
    nodeName: fields.optionalString('node-name'),
    readBytes: stats.counter('rd_bytes'),
    writtenBytes: stats.counter('wr_bytes'),
    discardedBytes: stats.counter('unmap_bytes'),
    reads: stats.counter('rd_operations'),
    writes: stats.counter('wr_operations'),
    flushes: stats.counter('flush_operations'),
    readNanoseconds: stats.counter('rd_total_time_ns'),
    writeNanoseconds: stats.counter('wr_total_time_ns'),
    flushNanoseconds: stats.counter('flush_total_time_ns'),
    failedReads: stats.counter('failed_rd_operations'),
    failedWrites: stats.counter('failed_wr_operations'),
    /** End of the furthest write. */
    highestOffsetBytes: stats.counter('wr_highest_offset'),
  }
}
