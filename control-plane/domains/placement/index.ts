export {
  choose,
  groupOf,
  type Overcommit,
  type PlacementChoice,
  type PlacementHost,
  type RejectedHost,
} from './placement.ts'
