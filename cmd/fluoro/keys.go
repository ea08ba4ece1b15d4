package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

const operatorLong = `
The command acts with the rights of the operator: it uses the admin socket of the
server that has the data directory open, or changes the directory itself if no server
does. A change is in force at once.`

func keysCommand() *cobra.Command {
	cmd := family("keys", "access keys: create, list, rotate, disable, enable, delete",
		`keys manages the access keys with which AWS SDKs, the AWS CLI and the X-Ray daemon sign
requests. A secret is shown once, when its key is made.
`+operatorLong, `  fluoro keys create --policy AWSXRayDaemonWriteAccess
  fluoro keys create --user alice --policy AWSXrayReadOnlyAccess --json
  fluoro keys rotate AKIA... --disable-old`)
	o := operatorFlags(cmd)
	cmd.AddCommand(keysCreate(o), keysRotate(o), containerToken(o))
	var user string
	list := leaf("list", "list access keys, without their secrets", func(cmd *cobra.Command, _ []string) error {
		keys, err := o.all(cmd.Context(), "ListAccessKeys", "AccessKeyMetadata", object{"UserName": user})
		if err != nil {
			return err
		}
		return o.table(cmd, keys, "AccessKeyId", "UserName", "Status", "CreateDate", "LastUsed")
	})
	list.Flags().StringVar(&user, "user", "", "only the keys of this user")
	cmd.AddCommand(list,
		leaf("disable ID", "refuse requests that are signed with a key", func(cmd *cobra.Command, args []string) error {
			return o.do(cmd, "UpdateAccessKey", object{"AccessKeyId": args[0], "Status": "Inactive"}, args[0]+" is disabled")
		}),
		leaf("enable ID", "accept a disabled key again", func(cmd *cobra.Command, args []string) error {
			return o.do(cmd, "UpdateAccessKey", object{"AccessKeyId": args[0], "Status": "Active"}, args[0]+" is enabled")
		}),
		leaf("delete ID", "delete a key for good", func(cmd *cobra.Command, args []string) error {
			return o.do(cmd, "DeleteAccessKey", object{"AccessKeyId": args[0]}, args[0]+" is deleted")
		}),
	)
	return cmd
}

func keysCreate(o *operator) *cobra.Command {
	var user string
	var policies []string
	cmd := leaf("create", "make an access key and print its secret, which is shown only now", func(cmd *cobra.Command, _ []string) error {
		if user == "" && len(policies) == 0 {
			return usageError{cmd, errors.New("--policy or --user is required: a key without policies may do nothing")}
		}
		out, err := o.call(cmd.Context(), "CreateAccessKey", object{"UserName": user, "Policies": policies})
		if err != nil {
			return err
		}
		return o.newKey(cmd, out)
	})
	cmd.Long = `create makes an access key. Without --user it makes a user for it, whose name begins
with the name of the first policy; that user is deleted with its last key. The policies
are attached to the user: AWS's managed policies by name, or those of the account by
name or ARN ('fluoro policy managed' and 'fluoro policies list' name them).`
	cmd.Flags().StringVar(&user, "user", "", "user that gets the key; made if it does not exist and there is a --policy")
	cmd.Flags().StringArrayVar(&policies, "policy", nil, "managed policy to attach to the user, by name or ARN; may be repeated")
	return cmd
}

// newKey prints a new key.
func (o *operator) newKey(cmd *cobra.Command, out object) error {
	key, _ := out["AccessKey"].(object)
	if o.json {
		return printJSON(cmd.OutOrStdout(), key)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "User %s has a new key. Its secret is not shown again:\n\n  export AWS_ACCESS_KEY_ID=%s\n  export AWS_SECRET_ACCESS_KEY=%s\n",
		plain(key["UserName"]), plain(key["AccessKeyId"]), plain(key["SecretAccessKey"]))
	return err
}

func keysRotate(o *operator) *cobra.Command {
	var disable bool
	cmd := leaf("rotate ID", "make a new key for the user of a key", func(cmd *cobra.Command, args []string) error {
		out, err := o.call(cmd.Context(), "RotateAccessKey", object{"AccessKeyId": args[0]})
		if err != nil {
			return err
		}
		if err := o.newKey(cmd, out); err != nil || !disable {
			return err
		}
		// The new key was shown already, so a failure here loses nothing.
		_, err = o.call(cmd.Context(), "UpdateAccessKey", object{"AccessKeyId": args[0], "Status": "Inactive"})
		return err
	})
	cmd.Long = `rotate makes a new key for the user of a key. The old key stays valid, so that clients
can change one after the other; disable and delete it afterwards. A user has at most two
keys.`
	cmd.Flags().BoolVar(&disable, "disable-old", false, "disable the old key at once")
	return cmd
}

// owner has the flags for a user or a role.
type owner struct{ user, role string }

func ownerFlags(cmd *cobra.Command) *owner {
	w := &owner{}
	cmd.Flags().StringVar(&w.user, "user", "", "user that it identifies")
	cmd.Flags().StringVar(&w.role, "role", "", "role that it identifies")
	return w
}

func (w *owner) check(cmd *cobra.Command) error {
	if (w.user == "") == (w.role == "") {
		return usageError{cmd, errors.New("exactly one of --user and --role is required")}
	}
	return nil
}

func containerToken(o *operator) *cobra.Command {
	var w *owner
	var expires time.Duration
	cmd := leaf("container-token", "make a token with which SDKs in a container get temporary credentials", func(cmd *cobra.Command, _ []string) error {
		return o.newToken(cmd, w, object{"Purpose": "container"}, expires)
	})
	cmd.Long = `container-token makes a token for the container credential provider of AWS SDKs. Put it
into a file and start the program with

  AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:2000/container-credentials
  AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=/run/secrets/fluoro-token

SDKs accept plain http only for loopback addresses.`
	w = ownerFlags(cmd)
	cmd.Flags().DurationVar(&expires, "expires", 0, "how long the token is valid, such as 720h; 0 for ever")
	return cmd
}

// newToken makes a token and prints it.
func (o *operator) newToken(cmd *cobra.Command, w *owner, in object, expires time.Duration) error {
	if err := w.check(cmd); err != nil {
		return err
	}
	in["UserName"], in["RoleName"] = w.user, w.role
	if expires > 0 {
		in["Expires"] = time.Now().UTC().Add(expires).Truncate(time.Second)
	}
	out, err := o.call(cmd.Context(), "CreateToken", in)
	if err != nil {
		return err
	}
	token, _ := out["Token"].(object)
	if o.json {
		return printJSON(cmd.OutOrStdout(), token)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "Token %s is not shown again:\n\n  %s\n", plain(token["TokenId"]), plain(token["Token"]))
	return err
}

func tokensCommand() *cobra.Command {
	cmd := family("tokens", "bearer tokens: create, list, disable, enable, delete",
		`tokens manages bearer tokens, for OpenTelemetry and the HTTP API: senders put one into the
header Authorization: Bearer. A token is shown once, when it is made; only its hash is
stored.
`+operatorLong, `  fluoro tokens create --user shop --scope xray:PutTraceSegments --scope fluoro:PutSpans --expires 2160h
  fluoro tokens list`)
	o := operatorFlags(cmd)
	var w *owner
	var expires time.Duration
	var scopes []string
	var description string
	create := leaf("create", "make a bearer token and print it, which happens only now", func(cmd *cobra.Command, _ []string) error {
		return o.newToken(cmd, w, object{"Scopes": scopes, "Description": description}, expires)
	})
	w = ownerFlags(create)
	create.Flags().StringArrayVar(&scopes, "scope", nil, "action that the token is limited to, with * and ? as in policies; may be repeated; by default all that its user or role may do")
	create.Flags().StringVar(&description, "description", "", "what it is for")
	create.Flags().DurationVar(&expires, "expires", 0, "how long it is valid, such as 720h; 0 for ever")
	cmd.AddCommand(create,
		leaf("list", "list tokens, without their secrets", func(cmd *cobra.Command, _ []string) error {
			list, err := o.all(cmd.Context(), "ListTokens", "Tokens", object{})
			if err != nil {
				return err
			}
			return o.table(cmd, list, "TokenId", "UserName", "RoleName", "Status", "Purpose", "Scopes", "Expires", "LastUsed", "Description")
		}),
		leaf("disable ID", "refuse a token", func(cmd *cobra.Command, args []string) error {
			return o.do(cmd, "UpdateToken", object{"TokenId": args[0], "Status": "Inactive"}, args[0]+" is disabled")
		}),
		leaf("enable ID", "accept a disabled token again", func(cmd *cobra.Command, args []string) error {
			return o.do(cmd, "UpdateToken", object{"TokenId": args[0], "Status": "Active"}, args[0]+" is enabled")
		}),
		leaf("delete ID", "delete a token for good", func(cmd *cobra.Command, args []string) error {
			return o.do(cmd, "DeleteToken", object{"TokenId": args[0]}, args[0]+" is deleted")
		}),
	)
	return cmd
}
