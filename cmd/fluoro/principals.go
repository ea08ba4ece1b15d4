package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// kind describes users, groups or roles for the commands about them.
type kind struct {
	use, word string // users, User
	member    string // UserName
	person    bool   // has tags and a boundary
}

func usersCommand() *cobra.Command {
	cmd, o := kind{"users", "User", "UserName", true}.command("  fluoro users create alice --tag team=pay\n  fluoro users attach alice AWSXrayReadOnlyAccess\n  fluoro users password alice")
	cmd.AddCommand(passwordCommand(o))
	return cmd
}

func groupsCommand() *cobra.Command {
	k := kind{"groups", "Group", "GroupName", false}
	cmd, o := k.command("  fluoro groups create developers\n  fluoro groups add developers alice")
	cmd.AddCommand(
		leaf("add GROUP USER", "make a user a member of a group", func(cmd *cobra.Command, args []string) error {
			return o.do(cmd, "AddUserToGroup", object{"GroupName": args[0], "UserName": args[1]}, args[1]+" is a member of "+args[0])
		}),
		leaf("remove GROUP USER", "end a membership", func(cmd *cobra.Command, args []string) error {
			return o.do(cmd, "RemoveUserFromGroup", object{"GroupName": args[0], "UserName": args[1]}, args[1]+" is no member of "+args[0])
		}),
	)
	return cmd
}

func rolesCommand() *cobra.Command {
	k := kind{"roles", "Role", "RoleName", true}
	cmd, o := k.command("  fluoro roles create reader --trust trust.json\n  fluoro roles attach reader AWSXrayReadOnlyAccess\n  fluoro roles revoke reader")
	cmd.AddCommand(
		leaf("trust NAME FILE", "replace the trust policy: who may assume the role; - for standard input", func(cmd *cobra.Command, args []string) error {
			text, err := readText(cmd, args[1])
			if err != nil {
				return err
			}
			return o.do(cmd, "UpdateAssumeRolePolicy", object{"RoleName": args[0], "PolicyDocument": text}, args[0]+" has a new trust policy")
		}),
		leaf("revoke NAME", "make all sessions of a role void that were issued until now", func(cmd *cobra.Command, args []string) error {
			return o.do(cmd, "RevokeRoleSessions", object{"RoleName": args[0]}, "the sessions of "+args[0]+" are void")
		}),
	)
	return cmd
}

// command makes the command of a kind with everything that all kinds have.
func (k kind) command(example string) (*cobra.Command, *operator) {
	one := strings.ToLower(k.word)
	cmd := family(k.use, k.use+": create, list, show, delete; policies, boundaries, tags", k.use+" manages the "+k.use+" of an account.\n"+operatorLong, example)
	o := operatorFlags(cmd)
	in := func(args []string, more ...any) object {
		out := object{k.member: args[0]}
		for i := 0; i+1 < len(more); i += 2 {
			out[more[i].(string)] = more[i+1]
		}
		return out
	}
	cmd.AddCommand(k.create(o),
		leaf("list", "list all "+k.use, func(cmd *cobra.Command, _ []string) error {
			list, err := o.all(cmd.Context(), "List"+k.word+"s", k.word+"s", object{})
			if err != nil {
				return err
			}
			return o.table(cmd, list, k.member, "Arn", "CreateDate")
		}),
		leaf("show NAME", "show a "+one+" and its policies", func(cmd *cobra.Command, args []string) error { return k.show(cmd, o, args[0]) }),
		leaf("delete NAME", "delete a "+one+" with its credentials and inline policies", func(cmd *cobra.Command, args []string) error {
			return o.do(cmd, "Delete"+k.word, in(args), args[0]+" is deleted")
		}),
		leaf("attach NAME POLICY", "attach a managed policy, by name or ARN", func(cmd *cobra.Command, args []string) error {
			return o.do(cmd, "Attach"+k.word+"Policy", in(args, "PolicyArn", args[1]), args[0]+" has "+args[1])
		}),
		leaf("detach NAME POLICY", "detach a managed policy", func(cmd *cobra.Command, args []string) error {
			return o.do(cmd, "Detach"+k.word+"Policy", in(args, "PolicyArn", args[1]), args[0]+" no longer has "+args[1])
		}),
		leaf("put-policy NAME POLICY FILE", "set an inline policy; - for standard input", func(cmd *cobra.Command, args []string) error {
			text, err := readText(cmd, args[2])
			if err != nil {
				return err
			}
			return o.do(cmd, "Put"+k.word+"Policy", in(args, "PolicyName", args[1], "PolicyDocument", text), args[0]+" has the inline policy "+args[1])
		}),
		leaf("delete-policy NAME POLICY", "delete an inline policy", func(cmd *cobra.Command, args []string) error {
			return o.do(cmd, "Delete"+k.word+"Policy", in(args, "PolicyName", args[1]), args[0]+" no longer has the inline policy "+args[1])
		}),
	)
	if k.person {
		cmd.AddCommand(k.boundary(o), k.tag(o), k.untag(o))
	}
	return cmd, o
}

func (k kind) create(o *operator) *cobra.Command {
	var path, trust, boundary, description string
	var tags []string
	var session int
	cmd := leaf("create NAME", "make a "+strings.ToLower(k.word), func(cmd *cobra.Command, args []string) error {
		in := object{k.member: args[0], "Path": path}
		if k.person {
			list, err := tagList(cmd, tags)
			if err != nil {
				return err
			}
			in["Tags"], in["PermissionsBoundary"] = list, boundary
		}
		if k.word == "Role" {
			if trust == "" {
				return usageError{cmd, errors.New("--trust is required: the file with the policy that says who may assume the role")}
			}
			text, err := readText(cmd, trust)
			if err != nil {
				return err
			}
			in["AssumeRolePolicyDocument"], in["Description"] = text, description
			if session > 0 {
				in["MaxSessionDuration"] = session
			}
		}
		out, err := o.call(cmd.Context(), "Create"+k.word, in)
		if err != nil {
			return err
		}
		return o.show(cmd, out[k.word])
	})
	f := cmd.Flags()
	f.StringVar(&path, "path", "", "path in the ARN, such as /ci/")
	if k.person {
		f.StringArrayVar(&tags, "tag", nil, "tag KEY=VALUE; may be repeated")
		f.StringVar(&boundary, "boundary", "", "permissions boundary: a managed policy, by name or ARN")
	}
	if k.word == "Role" {
		f.StringVar(&trust, "trust", "", "file with the trust policy; - for standard input")
		f.StringVar(&description, "description", "", "what it is for")
		f.IntVar(&session, "max-session", 0, "longest session in seconds, 3600 to 43200; 0 for 3600")
	}
	return cmd
}

// show prints everything about one of a kind.
func (k kind) show(cmd *cobra.Command, o *operator, name string) error {
	out, err := o.call(cmd.Context(), "Get"+k.word, object{k.member: name})
	if err != nil {
		return err
	}
	whole, _ := out[k.word].(object)
	if users, ok := out["Users"]; ok {
		whole["Users"] = users
	}
	if whole["AttachedPolicies"], err = o.all(cmd.Context(), "ListAttached"+k.word+"Policies", "AttachedPolicies", object{k.member: name}); err != nil {
		return err
	}
	names, err := o.all(cmd.Context(), "List"+k.word+"Policies", "PolicyNames", object{k.member: name})
	if err != nil {
		return err
	}
	inline := object{}
	for _, n := range names {
		doc, err := o.call(cmd.Context(), "Get"+k.word+"Policy", object{k.member: name, "PolicyName": n})
		if err != nil {
			return err
		}
		inline[fmt.Sprint(n)] = doc["PolicyDocument"]
	}
	whole["InlinePolicies"] = inline
	return o.show(cmd, whole)
}

func (k kind) boundary(o *operator) *cobra.Command {
	return leaf("boundary NAME POLICY", "set the permissions boundary to a managed policy; none removes it", func(cmd *cobra.Command, args []string) error {
		if args[1] == "none" {
			return o.do(cmd, "Delete"+k.word+"PermissionsBoundary", object{k.member: args[0]}, args[0]+" has no boundary")
		}
		return o.do(cmd, "Put"+k.word+"PermissionsBoundary", object{k.member: args[0], "PermissionsBoundary": args[1]}, args[0]+" has the boundary "+args[1])
	})
}

func (k kind) tag(o *operator) *cobra.Command {
	cmd := leaf("tag NAME KEY=VALUE", "set tags", func(cmd *cobra.Command, args []string) error {
		list, err := tagList(cmd, args[1:])
		if err != nil {
			return err
		}
		return o.do(cmd, "Tag"+k.word, object{k.member: args[0], "Tags": list}, args[0]+" is tagged")
	})
	cmd.Args = cobra.MinimumNArgs(2)
	return cmd
}

func (k kind) untag(o *operator) *cobra.Command {
	cmd := leaf("untag NAME KEY", "remove tags", func(cmd *cobra.Command, args []string) error {
		return o.do(cmd, "Untag"+k.word, object{k.member: args[0], "TagKeys": args[1:]}, args[0]+" has fewer tags")
	})
	cmd.Args = cobra.MinimumNArgs(2)
	return cmd
}

// tagList reads KEY=VALUE texts.
func tagList(cmd *cobra.Command, texts []string) ([]object, error) {
	var out []object
	for _, text := range texts {
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, usageError{cmd, fmt.Errorf("%q is no tag: want KEY=VALUE", text)}
		}
		out = append(out, object{"Key": key, "Value": value})
	}
	return out, nil
}

func policiesCommand() *cobra.Command {
	cmd := family("policies", "managed policies of the account: create, list, show, update, delete",
		`policies manages the managed policies of an account. 'fluoro policy' checks and simulates
policies without a server.
`+operatorLong, `  fluoro policies create read-web read-web.json
  fluoro policies update read-web read-web.json
  fluoro policies show AWSXrayReadOnlyAccess`)
	o := operatorFlags(cmd)
	cmd.AddCommand(
		leaf("create NAME FILE", "make a managed policy; - for standard input", func(cmd *cobra.Command, args []string) error {
			text, err := readText(cmd, args[1])
			if err != nil {
				return err
			}
			out, err := o.call(cmd.Context(), "CreatePolicy", object{"PolicyName": args[0], "PolicyDocument": text})
			if err != nil {
				return err
			}
			return o.show(cmd, out["Policy"])
		}),
		leaf("list", "list the account's managed policies", func(cmd *cobra.Command, _ []string) error {
			list, err := o.all(cmd.Context(), "ListPolicies", "Policies", object{})
			if err != nil {
				return err
			}
			return o.table(cmd, list, "PolicyName", "Arn", "DefaultVersionId", "CreateDate")
		}),
		leaf("show POLICY", "show the document of a managed policy, by name or ARN", func(cmd *cobra.Command, args []string) error {
			return showPolicy(cmd, o, args[0])
		}),
		leaf("update POLICY FILE", "put a new version in force; of six versions the oldest is deleted", func(cmd *cobra.Command, args []string) error {
			return updatePolicy(cmd, o, args[0], args[1])
		}),
		leaf("delete POLICY", "delete a policy that nothing uses", func(cmd *cobra.Command, args []string) error {
			return o.do(cmd, "DeletePolicy", object{"PolicyArn": args[0]}, args[0]+" is deleted")
		}),
		leaf("uses POLICY", "list the users, groups and roles that use a policy", func(cmd *cobra.Command, args []string) error {
			out, err := o.call(cmd.Context(), "ListEntitiesForPolicy", object{"PolicyArn": args[0]})
			if err != nil {
				return err
			}
			list, _ := out["Entities"].([]any)
			return o.table(cmd, list, "Type", "Name", "Boundary")
		}),
	)
	return cmd
}

func showPolicy(cmd *cobra.Command, o *operator, name string) error {
	out, err := o.call(cmd.Context(), "GetPolicyVersion", object{"PolicyArn": name})
	if err != nil {
		return err
	}
	version, _ := out["PolicyVersion"].(object)
	if o.json {
		return printJSON(cmd.OutOrStdout(), version)
	}
	var v any
	text, _ := version["Document"].(string)
	if json.Unmarshal([]byte(text), &v) != nil {
		return errors.New("the document is not JSON")
	}
	return printJSON(cmd.OutOrStdout(), v)
}

// updatePolicy adds a version, and first deletes the oldest if there are five.
func updatePolicy(cmd *cobra.Command, o *operator, name, file string) error {
	text, err := readText(cmd, file)
	if err != nil {
		return err
	}
	out, err := o.call(cmd.Context(), "ListPolicyVersions", object{"PolicyArn": name})
	if err != nil {
		return err
	}
	if list, _ := out["Versions"].([]any); len(list) >= 5 {
		for _, v := range list {
			m, _ := v.(object)
			if current, _ := m["IsDefaultVersion"].(bool); !current {
				if _, err := o.call(cmd.Context(), "DeletePolicyVersion", object{"PolicyArn": name, "VersionId": m["VersionId"]}); err != nil {
					return err
				}
				break
			}
		}
	}
	return o.do(cmd, "CreatePolicyVersion", object{"PolicyArn": name, "PolicyDocument": text, "SetAsDefault": true}, name+" has a new version")
}
