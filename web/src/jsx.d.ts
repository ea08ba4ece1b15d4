import type { JSX as ReactJSX } from 'react';

// React 19 no longer declares a global JSX namespace, which Cloudscape's
// declarations still name.
declare global {
  namespace JSX {
    type Element = ReactJSX.Element;
    type ElementType = ReactJSX.ElementType;
    type IntrinsicElements = ReactJSX.IntrinsicElements;
  }
}
