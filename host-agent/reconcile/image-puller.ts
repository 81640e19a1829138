import { withJitter, type Clock, type Random } from '@nubo/base'
import type { WantedContainer } from '@nubo/contracts/host'
import type { Log } from '@nubo/runtime/process'
import type { SetDriver } from '../drivers/set/set-driver.ts'
import { logged } from '../logged.ts'
import { backoffMs } from '../plan/backoff.ts'
import type { ImageState } from '../plan/plan-set.ts'
import { withDeadline } from './deadline.ts'
import { Limiter } from './limiter.ts'
import { reasonOf } from './reason.ts'

type Image = WantedContainer['image']

const RETRY_FIRST_MS = 1_000
const RETRY_MAX_MS = 60_000
/** A pull that takes longer is begun again; layers that have come are kept by the engine. */
const PULL_TIMEOUT_MS = 3_600_000

/** Gives a short-lived token that may pull one repository. */
export interface ImageTokens {
  token(repository: string, signal: AbortSignal): Promise<{ registry: string; token: string }>
}

export interface ImagePullerNeeds {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly driver: Pick<SetDriver, 'ensureImage'>
  readonly tokens: ImageTokens
  readonly parallelPullsMax: number
  /** The state of this image changed. */
  readonly onChange: (digest: string) => void
}

/** Fetches images in the background, each once whoever asks, a few at a time. */
export class ImagePuller {
  readonly #needs: ImagePullerNeeds
  readonly #limiter: Limiter
  readonly #states = new Map<string, ImageState>()
  readonly #failures = new Map<string, number>()

  constructor(needs: ImagePullerNeeds) {
    this.#needs = needs
    this.#limiter = new Limiter(needs.parallelPullsMax)
  }

  state(digest: string): ImageState {
    return this.#states.get(digest) ?? { at: 'unknown' }
  }

  /** Begins to fetch the image unless it is here, under way, or to be tried again later. Returns at once. */
  ensure(image: Image, signal: AbortSignal): void {
    const state = this.state(image.digest)
    if (state.at === 'ready' || state.at === 'pulling') return
    if (state.at === 'failed' && this.#needs.clock.monotonicMs() < state.retryAtMs) return
    this.#states.set(image.digest, { at: 'pulling', progress: '' })
    void this.#pull(image, signal)
  }

  /** The engine has lost the image; the next `ensure` fetches it again. */
  forget(digest: string): void {
    if (this.state(digest).at === 'ready') this.#states.delete(digest)
  }

  /** Drops what is known of images that no set uses. */
  keepOnly(digests: ReadonlySet<string>): void {
    for (const [digest, state] of this.#states) {
      if (digests.has(digest) || state.at === 'pulling') continue
      this.#states.delete(digest)
      this.#failures.delete(digest)
    }
  }

  async #pull(image: Image, signal: AbortSignal): Promise<void> {
    const { clock, driver, log, onChange, tokens } = this.#needs
    const { digest, repository } = image
    try {
      await this.#limiter.run(() =>
        withDeadline({
          clock,
          timeoutMs: PULL_TIMEOUT_MS,
          what: `pull ${repository}`,
          work: driver.ensureImage(
            image,
            () => tokens.token(repository, signal),
            (progress) => this.#progress(digest, repository, progress),
          ),
        }),
      )
      this.#states.set(digest, { at: 'ready' })
      this.#failures.delete(digest)
    } catch (error) {
      if (signal.aborted) return
      const failures = (this.#failures.get(digest) ?? 0) + 1
      this.#failures.set(digest, failures)
      const pauseMs = withJitter(
        this.#needs.random,
        backoffMs({ failures, firstMs: RETRY_FIRST_MS, maxMs: RETRY_MAX_MS }),
      )
      log.warn('an image could not be fetched', { repository, digest, failures, ...logged(error) })
      this.#states.set(digest, {
        at: 'failed',
        reason: reasonOf(error, 'IMAGE_PULL_FAILED'),
        retryAtMs: clock.monotonicMs() + pauseMs,
      })
    }
    onChange(digest)
  }

  #progress(digest: string, repository: string, progress: string): void {
    if (this.state(digest).at !== 'pulling') return
    this.#states.set(digest, {
      at: 'pulling',
      progress: `fetching image ${repository}, ${progress}`,
    })
    this.#needs.onChange(digest)
  }
}
