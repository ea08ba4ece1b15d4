import Header from '@cloudscape-design/components/header';
import { ComplianceBox } from './account/ComplianceBox';
import { EncryptionBox } from './account/EncryptionBox';
import { HoldsBox } from './account/HoldsBox';
import { LinksBox } from './account/LinksBox';
import { QuotaBox } from './account/QuotaBox';
import './AccountPage.css';

/** The account as a tenant: quotas, encryption, links, holds, compliance. Each part has its own permission. */
export default function AccountPage() {
  return (
    <div className="fl-page fl-account" data-testid="account-page">
      <Header variant="h1" description="Quotas, encryption, links to other accounts, legal holds, compliance">
        Account
      </Header>
      <div className="fl-columns">
        <QuotaBox />
        <EncryptionBox />
      </div>
      <LinksBox />
      <HoldsBox />
      <ComplianceBox />
    </div>
  );
}
