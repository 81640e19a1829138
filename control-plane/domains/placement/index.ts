export {
  choose,
  groupOf,
  OVERCOMMIT_DEFAULT,
  type Overcommit,
  type PlacementChoice,
  type PlacementHost,
  type RejectedHost,
} from './placement.ts'
