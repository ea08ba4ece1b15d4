package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

func certificatesCommand() *cobra.Command {
	cmd := family("certificates", "client certificates that identify users and roles: put, list, delete",
		`certificates maps client certificates to users and roles. CERTIFICATE is the fingerprint of
a certificate, sha256:HEX, or a name in certificates: uri:URI, dns:NAME, email:ADDRESS or
cn:NAME. Only certificates of the authorities in --tls-client-ca count. The mapping
holds for the whole server.
`+operatorLong, `  fluoro certificates put dns:daemon.example.com --user daemon`)
	o := operatorFlags(cmd)
	var w *owner
	var description string
	put := leaf("put CERTIFICATE", "map a certificate to a user or role", func(cmd *cobra.Command, args []string) error {
		if err := w.check(cmd); err != nil {
			return err
		}
		// The verb is about the whole server, so the account is part of the request.
		account := o.account
		server := &operator{data: o.data, json: o.json, flags: o.flags}
		return server.do(cmd, "PutCertificate", object{"Match": args[0], "Account": account, "UserName": w.user, "RoleName": w.role, "Description": description}, args[0]+" is mapped")
	})
	w = ownerFlags(put)
	put.Flags().StringVar(&description, "description", "", "what it is for")
	cmd.AddCommand(put,
		leaf("list", "list all mappings of the server", func(cmd *cobra.Command, _ []string) error {
			list, err := (&operator{data: o.data, flags: o.flags}).all(cmd.Context(), "ListCertificates", "Certificates", object{})
			if err != nil {
				return err
			}
			return o.table(cmd, list, "Match", "Account", "UserName", "RoleName", "CreateDate", "Description")
		}),
		leaf("delete CERTIFICATE", "end a mapping", func(cmd *cobra.Command, args []string) error {
			return (&operator{data: o.data, json: o.json, flags: o.flags}).do(cmd, "DeleteCertificate", object{"Match": args[0]}, args[0]+" identifies nobody")
		}),
	)
	return cmd
}

func providersCommand() *cobra.Command {
	cmd := family("providers", "OpenID Connect providers whose tokens may assume roles: create, list, delete",
		`providers manages the issuers of web identities: whoever has a token of a provider may
exchange it for a session of a role whose trust policy allows that
(AssumeRoleWithWebIdentity).
`+operatorLong, `  fluoro providers create https://token.actions.githubusercontent.com --client sts.amazonaws.com`)
	o := operatorFlags(cmd)
	var clients []string
	var authorities string
	create := leaf("create URL", "make a provider", func(cmd *cobra.Command, args []string) error {
		in := object{"Url": args[0], "ClientIDList": clients}
		if authorities != "" {
			text, err := readText(cmd, authorities)
			if err != nil {
				return err
			}
			in["CertificateAuthorities"] = text
		}
		out, err := o.call(cmd.Context(), "CreateOpenIDConnectProvider", in)
		if err != nil {
			return err
		}
		return o.show(cmd, out)
	})
	create.Flags().StringArrayVar(&clients, "client", nil, "audience that its tokens must have; may be repeated")
	create.Flags().StringVar(&authorities, "ca", "", "PEM file with authorities for its https, besides those of the system")
	cmd.AddCommand(create,
		leaf("list", "list the providers", func(cmd *cobra.Command, _ []string) error {
			out, err := o.call(cmd.Context(), "ListOpenIDConnectProviders", object{})
			if err != nil {
				return err
			}
			list, _ := out["OpenIDConnectProviderList"].([]any)
			return o.table(cmd, list, "Arn")
		}),
		leaf("delete ARN", "delete a provider", func(cmd *cobra.Command, args []string) error {
			return o.do(cmd, "DeleteOpenIDConnectProvider", object{"OpenIDConnectProviderArn": args[0]}, args[0]+" is deleted")
		}),
	)
	return cmd
}

func organizationCommand() *cobra.Command {
	cmd := family("organization", "accounts in units, with service control policies: show, put, delete",
		`organization manages the organization of the server's accounts. It is one JSON object:

  {"Management": "000000000000", "Root": {"Policies": [], "Accounts": [], "Units": [
    {"Name": "prod", "Policies": [{"Name": "FullAWSAccess"}, {"Name": "no-delete", "Text": "{…}"}],
     "Accounts": [{"Account": "111122223333"}], "Units": []}]}}

A level without policies has FullAWSAccess. No policy binds the management account.
`+operatorLong, `  fluoro organization put organization.json`)
	o := operatorFlags(cmd)
	cmd.AddCommand(
		leaf("show", "print the organization as JSON", func(cmd *cobra.Command, _ []string) error {
			out, err := o.call(cmd.Context(), "GetOrganization", object{})
			if err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), out["Organization"])
		}),
		leaf("put FILE", "replace the organization; - for standard input", func(cmd *cobra.Command, args []string) error {
			text, err := readText(cmd, args[0])
			if err != nil {
				return err
			}
			if !json.Valid([]byte(text)) {
				return fmt.Errorf("%s is not JSON", args[0])
			}
			out, err := o.call(cmd.Context(), "PutOrganization", object{"Organization": json.RawMessage(text)})
			if err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), out["Organization"])
		}),
		leaf("delete", "end the organization: no service control policy applies any longer", func(cmd *cobra.Command, _ []string) error {
			return o.do(cmd, "DeleteOrganization", object{}, "there is no organization")
		}),
	)
	return cmd
}
