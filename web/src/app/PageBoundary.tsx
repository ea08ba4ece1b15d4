import Alert from '@cloudscape-design/components/alert';
import Button from '@cloudscape-design/components/button';
import { Component, type ReactNode } from 'react';

interface Props {
  /** A failed page renders again when this changes. */
  resetKey: string;
  children: ReactNode;
}

/** Keeps the frame usable when a page fails, and shows the error. */
export class PageBoundary extends Component<Props, { error: Error | null; key: string }> {
  override state: { error: Error | null; key: string } = { error: null, key: this.props.resetKey };

  static getDerivedStateFromError(error: unknown): { error: Error } {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }

  static getDerivedStateFromProps(props: Props, state: { error: Error | null; key: string }): { error: Error | null; key: string } | null {
    return props.resetKey === state.key ? null : { error: null, key: props.resetKey };
  }

  override render(): ReactNode {
    if (this.state.error === null) {
      return this.props.children;
    }
    return (
      <Alert type="error" header="This page failed" action={<Button onClick={() => window.location.reload()}>Reload</Button>}>
        {this.state.error.message}
      </Alert>
    );
  }
}
