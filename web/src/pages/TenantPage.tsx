import Header from '@cloudscape-design/components/header';
import { ComplianceBox } from './tenant/ComplianceBox';
import { EncryptionBox } from './tenant/EncryptionBox';
import { HoldsBox } from './tenant/HoldsBox';
import { LinksBox } from './tenant/LinksBox';
import { QuotaBox } from './tenant/QuotaBox';
import './TenantPage.css';

/** The account as a tenant: quotas, encryption, links, holds, compliance. Each part has its own permission. */
export default function TenantPage() {
  return (
    <div className="fl-page fl-tenant" data-testid="tenant-page">
      <Header variant="h1" description="The account: quotas, encryption, links to other accounts, legal holds, compliance">
        Tenant
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
